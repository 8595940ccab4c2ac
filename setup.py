"""The parts of the build that pyproject.toml cannot express.

These are the cffi modules, their sources in assembly, jumplabel.pth, which ``site`` reads at each start, and the files
of an sdist.
"""

import shutil
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

STARTUP = "jumplabel.pth"


class BuildEngine(build_ext):
    def build_extensions(self):
        compiler = self.compiler.compiler[0]
        if shutil.which(compiler) is None:
            raise SystemExit(
                f"jumplabel: building the engine needs a C compiler, and {compiler!r} was not found. "
                "Install one (Debian, Ubuntu: apt install gcc libc6-dev) or name one in the environment variable CC."
            )
        if ".S" not in self.compiler.src_extensions:
            self.compiler.src_extensions.append(".S")
        super().build_extensions()


class Build(build):
    sub_commands = [*build.sub_commands, ("build_startup", None)]  # noqa: RUF012  # setuptools declares it so


class BuildStartup(Command):
    """Put jumplabel.pth beside the package in the wheel, so that pip installs and uninstalls it.

    An editable wheel takes the files of ``install_lib``, not those of ``build_lib``. The methods are those of
    setuptools.command.build.SubCommand.
    """

    user_options = []  # noqa: RUF012
    editable_mode = False

    def initialize_options(self):
        self.build_lib = None

    def finalize_options(self):
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self):
        folder = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.mkpath(folder)
        self.copy_file(STARTUP, folder)

    def get_source_files(self):
        return [STARTUP]

    def get_outputs(self):
        return [] if self.editable_mode else [str(Path(self.build_lib, STARTUP))]

    def get_output_mapping(self):
        return {}


class CompleteSdist(sdist):
    def make_release_tree(self, base_dir, files):
        folders = ("benchmarks", "csrc", "docs", "tests")
        paths = [path for folder in folders for path in Path(folder).rglob("*") if "__pycache__" not in path.parts]
        files = {
            *files,
            ".clang-format",
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "noxfile.py",
            *(str(path) for path in paths if path.is_file()),
        }
        super().make_release_tree(base_dir, sorted(files))


setup(
    cffi_modules=["csrc/ffi_build.py:ffi", "csrc/ffi_build.py:testing"],
    cmdclass={"build": Build, "build_ext": BuildEngine, "build_startup": BuildStartup, "sdist": CompleteSdist},
)
