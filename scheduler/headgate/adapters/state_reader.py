"""What is in a job's checkpoint store, through `millstream.state` in a process of its own.

Reading state needs what workers have and a scheduler may lack (Polars, access to the store), and Headgate itself knows
of Millstream no more than the contract.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.errors import BadOption, HeadgateError

Row = Mapping[str, Any]

_BAD_INPUT = 2
_MISSING = 3
_NO_READER = 141
_CHILD = """
import sys
sys.path[:] = [each for each in sys.path if each]  # the folder one happens to be in holds no libraries
try:
    from millstream.state.__main__ import main
except ImportError as problem:
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(3)
sys.exit(main(sys.argv[1:]))
"""


class StateUnreadable(HeadgateError):
    """The store does not answer, no checkpoint is whole, or there is nothing here to read it with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found: rows, if they were asked for, and remarks on the way there."""

    rows: tuple[Row, ...]
    remarks: tuple[str, ...]


def ask_state(
    command: str,
    store: str,
    job: str,
    options: Mapping[str, object],
    *,
    print_rows: bool = False,
    python: str = sys.executable,
) -> Answer:
    """Run a command of `python -m millstream.state` on a job's store.

    `options` are by name, as `{"shard": "0007"}`; None and False are left out, a list stands for an option that is
    given several times.  With `print_rows` the rows go to standard output as they come, one JSON object a line, and not
    into the answer.

    Raises:
        BadOption: there is no such job, shard, checkpoint…
        StateUnreadable: it cannot be read.
        BrokenPipeError: nobody reads standard output any more.
    """
    arguments = [python, "-c", _CHILD, command, *_options(options), "--", store, job]
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=None if print_rows else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as problem:
        raise StateUnreadable(f"{python} does not run: {problem.strerror}") from problem
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode == _NO_READER:
        raise BrokenPipeError
    if done.returncode:
        raise _failure(done.returncode, lines, python)
    rows = tuple(json.loads(line) for line in (done.stdout or "").splitlines())
    return Answer(rows=rows, remarks=tuple(lines))


def _options(options: Mapping[str, object]) -> list[str]:
    given = []
    for name, value in options.items():
        if value is True:
            given.append(f"--{name}")
        elif value is not None and value is not False:
            values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            given += [f"--{name}={each}" for each in values]
    return given


def _failure(code: int, lines: Sequence[str], python: str) -> HeadgateError:
    told = lines[-1].removeprefix("error: ") if lines else f"reading the state ended with exit code {code}"
    if code == _MISSING:
        remedy = f"install it there: {python} -m pip install 'headgate[worker]'"
        return StateUnreadable(f"{python} cannot load millstream ({told}); {remedy}")
    return BadOption(told) if code == _BAD_INPUT else StateUnreadable(told)
