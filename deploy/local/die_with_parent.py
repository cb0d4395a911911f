"""Become another program that the kernel kills when the parent dies: `die_with_parent.py PARENT_PID PROGRAM [ARGUMENT ...]`.

A program of its own rather than code between fork and exec, which is not safe in a process that has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the parent-death signal, then turn into the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"no parent-death signal: {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the signal was asked for; nobody would tell.
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
