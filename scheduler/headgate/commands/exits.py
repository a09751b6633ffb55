"""Exit codes, and how errors look: one clear line (or JSON), and never a traceback for what the world did."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from enum import IntEnum

import click

from headgate.errors import BadJob, BadOption, HeadgateError, MasterUnavailable, UnknownJob


class ExitCode(IntEnum):
    """What the program's end means to whoever called it."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


EXIT_CODES_HELP = """Exit codes: 0 done · 1 failed · 2 bad input, nothing was changed · 3 no scheduler (or master)
answers · 130 interrupted."""


def guarded(run: Callable[[], int | None], *, as_json: bool) -> int:
    """Run a command; what went wrong is printed, and its exit code returned."""
    try:
        return run() or ExitCode.OK
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as problem:
        if as_json:
            return _tell(problem.format_message(), (), as_json=True, code=ExitCode.BAD_INPUT)
        problem.show()
        return ExitCode.BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)  # noqa: T201
        return ExitCode.INTERRUPTED
    except BadJob as problem:
        return _tell(_headline(problem), problem.mistakes, as_json=as_json, code=ExitCode.BAD_INPUT)
    except HeadgateError as problem:
        return _tell(str(problem), (), as_json=as_json, code=code_of(problem))
    except BrokenPipeError:
        # Whoever read our output has had enough; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as problem:
        # A disk that is full or a folder that is not ours; the text names the file.
        return _tell(str(problem), (), as_json=as_json, code=ExitCode.FAILED)


def coloured(text: str, colour: str) -> str:
    """The text in a colour, or plain where the person wants none (https://no-color.org)."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)


def code_of(problem: HeadgateError) -> ExitCode:
    """The exit code an error ends the program with."""
    from headgate.adapters.api_client import ApiDenied, ApiUnreachable

    if isinstance(problem, (BadJob, BadOption, UnknownJob, ApiDenied)):
        return ExitCode.BAD_INPUT
    if isinstance(problem, (ApiUnreachable, MasterUnavailable)):
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED


def _headline(problem: BadJob) -> str:
    count = len(problem.mistakes)
    return problem.mistakes[0] if count == 1 else f"{count} mistakes"


def _tell(error: str, mistakes: tuple[str, ...], *, as_json: bool, code: ExitCode) -> int:
    if as_json:
        print(json.dumps({"error": error, "mistakes": list(mistakes)}), file=sys.stderr)  # noqa: T201
        return code
    for line in mistakes or (error,):
        click.echo(f"{coloured('error:', 'red')} {line}", err=True)
    return code
