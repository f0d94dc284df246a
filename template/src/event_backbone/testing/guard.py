"""Ends servers and removes temporary folders when the process that owns them is gone, however it went.

Run as a script of its own, never imported: `process.py` starts one beside each server and holds the other end of its
standard input. Each line there is an order; the end of the input is the owner's death.
A pipe is what works alike on Linux and macOS, and against SIGKILL. Only the standard library, and little of it: the
guard starts beside the server and must never be what one waits for.
"""

import os
import sys
import time
from signal import SIGCONT, SIGKILL, SIGTERM

GRACE_SECONDS = 3.0
POLL_SECONDS = 0.01


def send(group: int, signal: int) -> bool:
    """Send a signal to a process group; False when nothing of it is left."""
    try:
        os.killpg(group, signal)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def ended(leader: int) -> bool:
    """Whether a process has ended, even if nobody collected it: in a container the first process may never do so."""
    try:
        with open(f"/proc/{leader}/stat") as status:  # noqa: PTH123 - pathlib costs too much to import here
            return status.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return not send(leader, 0)


def end(group: int) -> None:
    """Ask a process group to end, and make it after a while. A stopped one is woken, so that it can."""
    send(group, SIGTERM)
    send(group, SIGCONT)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and not ended(group):
        time.sleep(POLL_SECONDS)
    send(group, SIGKILL)


def remove(folder: str) -> None:
    """Remove a folder and what is in it."""
    import shutil  # noqa: PLC0415 - costs more to import than all the rest, and is needed at the end only

    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Obey orders until the owner is gone, then do what it left undone."""
    groups: set[int] = set()
    folders: set[str] = set()
    for line in sys.stdin:
        order, _, value = line.rstrip("\n").partition(" ")
        if order == "guard":
            groups.add(int(value))
        elif order == "forget":
            groups.discard(int(value))
        elif order == "folder":
            folders.add(value)
        elif order == "release":
            return
    for group in groups:
        end(group)
    for folder in folders:
        remove(folder)


if __name__ == "__main__":
    main()
