"""Where `headgate` starts and ends: its signals and its exit code.  The program is `headgate.commands.program`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program, and end the process with its exit code.

    With `arguments` (instead of those of the process) signals stay as they are.
    """
    if arguments is not None:
        _end(arguments)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Loading takes a while, and an interrupted import has nothing to say but its traceback.
        signal.signal(signal.SIGINT, _interrupted_while_loading)
    import headgate.commands.program  # noqa: F401 - loaded here, used in `_end`

    if signal.getsignal(signal.SIGINT) is _interrupted_while_loading:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _end(sys.argv[1:])
    finally:
        # All is done and said; a Ctrl-C that comes now must not change how it ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _end(arguments: list[str]) -> NoReturn:
    from headgate.commands.program import run_program

    sys.exit(run_program(arguments))


def _interrupted_while_loading(*_: Any) -> None:
    os.write(sys.stderr.fileno(), b"interrupted\n")
    os._exit(130)


def _terminated(*_: Any) -> None:
    """SIGTERM ends a command as Ctrl-C does; `headgate serve` sees to both by itself."""
    raise KeyboardInterrupt
