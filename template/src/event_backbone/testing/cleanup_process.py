"""Ends servers and removes temporary folders when the process that owns them is gone, however it ended.

Run as a script, never imported: `process.py` starts one beside each server and holds the other end of its standard
input. Each line there is an instruction; the end of the input means that the owner has ended.
A pipe works the same on Linux and macOS, and against SIGKILL. Only the standard library, and little of it: this process
starts beside the server and must never be what the owner waits for.
"""

import os
import sys
import time
from signal import SIGCONT, SIGKILL, SIGTERM

GRACE_SECONDS = 3.0
POLL_SECONDS = 0.01


def send(group: int, signal: int) -> bool:
    """Send a signal to a process group; False when none of its processes is left."""
    try:
        os.killpg(group, signal)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def ended(leader: int) -> bool:
    """Whether a process has ended, even as a zombie: in a container the first process may never reap it."""
    try:
        with open(f"/proc/{leader}/stat") as status:  # noqa: PTH123 - pathlib costs too much to import here
            return status.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return not send(leader, 0)


def end(group: int) -> None:
    """Ask a process group to end, and kill it after a while. A suspended one is continued, so that it can end."""
    send(group, SIGTERM)
    send(group, SIGCONT)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and not ended(group):
        time.sleep(POLL_SECONDS)
    send(group, SIGKILL)


def remove(folder: str) -> None:
    """Remove a folder and what is in it."""
    import shutil  # noqa: PLC0415 - costs more to import than the rest, and is only needed at the end

    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Follow instructions until the owner is gone, then clean up what is left."""
    groups: set[int] = set()
    folders: set[str] = set()
    for line in sys.stdin:
        instruction, _, value = line.rstrip("\n").partition(" ")
        if instruction == "process":
            groups.add(int(value))
        elif instruction == "forget":
            groups.discard(int(value))
        elif instruction == "folder":
            folders.add(value)
        elif instruction == "release":
            return
    for group in groups:
        end(group)
    for folder in folders:
        remove(folder)


if __name__ == "__main__":
    main()
