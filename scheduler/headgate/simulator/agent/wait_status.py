"""The raw status of wait(2), read and put into words as Mesos does."""

from __future__ import annotations

import signal

KILLED = 9
"""Ended by SIGKILL."""

UNKNOWN = -1
"""What an agent reports when it cannot tell how a container ended."""

MISSING_PROGRAM = 256256
"""A custom executor whose program does not exist: child and launcher both write `256` into one status file."""


def succeeded(status: int) -> bool:
    """Exited by itself with code 0."""
    return status == 0


def describe(status: int) -> str:
    """`exited with status 3`, `terminated with signal Killed`."""
    number = status & 0x7F
    if number == 0:
        return f"exited with status {(status >> 8) & 0xFF}"
    core = " (core dumped)" if status & 0x80 else ""
    return f"terminated with signal {signal.strsignal(number)}{core}"
