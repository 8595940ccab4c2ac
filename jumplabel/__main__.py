"""The command line: python -m jumplabel {info,run,compile,dis,keys,enable,disable,watch,level,demo,stress,bench}."""

import argparse
import sys

from jumplabel._diagnostics import bench_command
from jumplabel._diagnostics import commands as diagnostics
from jumplabel._instrument import commands as instrument
from jumplabel._process.closed_pipe import ends_quietly
from jumplabel._remote import operator_commands

ADD_COMMANDS = (
    diagnostics.add_info,
    instrument.add_run,
    instrument.add_compile,
    diagnostics.add_dis,
    operator_commands.add,
    diagnostics.add_demo,
    diagnostics.add_stress,
    bench_command.add,
)
"""Each adds the parser of a command, in the order of the help. The parser's default ``run`` is its function."""


def main() -> int:
    """Run the command that sys.argv names, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jumplabel", description="Static keys: what there is, and what it costs."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in ADD_COMMANDS:
        add(commands)
    ours, program = instrument.split_program(sys.argv[1:])
    with ends_quietly():
        arguments, others = parser.parse_known_args(ours)
        if others and arguments.run is not bench_command.run:  # bench passes other options to pyperf
            parser.error(f"unrecognized arguments: {' '.join(others)}")
    arguments.program = program
    arguments.others = others
    arguments.command_line = ours
    if arguments.run is instrument.run_program:  # the program handles its own output and end
        return instrument.run_program(arguments)
    with ends_quietly():
        return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
