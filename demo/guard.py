"""Run a program for as long as somebody holds our standard input open, then clean up.

``python guard.py FOLDER PROGRAM ARGUMENTS…`` starts the program. When standard input ends, which
also happens when the process that started us is killed, the program is stopped and the folder
removed. A program that ends by itself ends us too, with its status; the folder is left then.
"""

from __future__ import annotations

import ctypes
import select
import shutil
import signal
import subprocess
import sys
import threading

CHECK_S = 0.2
STOP_S = 5.0


def die_with_parent() -> None:
    """Ask Linux to kill this process when the guard is killed; elsewhere there is no such call."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def main() -> int:
    """Return the status of the program, or 0 when it was stopped."""
    folder, *command = sys.argv[1:]
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.set())
    # The guard has one thread, so that code between fork and exec does no harm.
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    while not (asked.is_set() or select.select([sys.stdin], [], [], CHECK_S)[0]):
        status = program.poll()
        if status is not None:
            return status
    stop(program)
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def stop(program: subprocess.Popen[bytes]) -> None:
    """End a program, by force if it does not go."""
    program.terminate()
    try:
        program.wait(STOP_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


if __name__ == "__main__":
    sys.exit(main())
