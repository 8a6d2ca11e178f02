"""A tiny process that outlives a killed runtime just long enough to end its children.

Run as a script with the standard library alone: it reads ``+pid`` and ``-pid`` lines from the runtime and,
when the pipe closes because the runtime is gone, kills the process groups that are left.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Follow the pipe on stdin until it closes, then kill what is left."""
    groups: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        (groups.add if line[0] == "+" else groups.discard)(pid)
    for pid in groups:
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    main()
