"""The descendants of a process, found in /proc: proc_pid_stat(5)."""

import os
from contextlib import suppress


def descendants(*pids: int) -> list[int]:
    """Return these processes and all their descendants, without the calling process.

    A process whose parent has ended is not found.
    """
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                children.setdefault(int(_status(int(name))[1]), []).append(int(name))
    found = list(pids)
    for parent in found:
        new = set(children.get(parent, [])).difference(found, [os.getpid()])
        found += sorted(new)
    return found


def has_ended(pid: int) -> bool:
    """Return whether the process is gone, or a zombie whose parent has not waited for it yet."""
    try:
        return _status(pid)[0] in ("Z", "X", "x")
    except OSError:
        return True


def age(pid: int) -> float:
    """Return the seconds since the process was started. Raises OSError if there is no such process."""
    with open("/proc/uptime") as file:
        now = float(file.read().split()[0])
    return now - int(_status(pid)[19]) / os.sysconf("SC_CLK_TCK")


def _status(pid: int) -> list[str]:
    """Return the fields from the third one on: state, parent ... The second field, the name, may hold anything."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].decode().split()
