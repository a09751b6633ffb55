"""Options that several commands share, and how a command prints JSON."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from headgate.errors import BadOption

DEFAULT_API = "http://127.0.0.1:10480"

_F = TypeVar("_F", bound=Callable[..., Any])

JOB_FILE = click.Path(path_type=Path)
"""A job file; that it exists is checked where its mistakes are, so that all are told alike."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

no_check_option = click.option(
    "--no-check",
    is_flag=True,
    help="Do not load the program here first; for programs that need what only the image has.",
)


def api_options(command: _F) -> _F:
    """Adds --api and --api-token-file, and hands the command an `ApiClient` as `client`."""

    @click.option(
        "--api",
        envvar="HEADGATE_API",
        default=DEFAULT_API,
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="Where the scheduler answers.",
    )
    @click.option(
        "--api-token-file",
        envvar="HEADGATE_API_TOKEN_FILE",
        show_envvar=True,
        type=click.Path(path_type=Path),
        help="File with the token the scheduler asks for.",
    )
    @functools.wraps(command)
    def with_client(*args: Any, api: str, api_token_file: Path | None, **more: Any) -> Any:
        from headgate.adapters.api_client import ApiClient

        client = ApiClient(api, read_secret(api_token_file, "--api-token-file"))
        try:
            return command(*args, client=client, **more)
        finally:
            client.close()

    return with_client  # type: ignore[return-value] # the decorator takes two parameters away


def read_secret(path: Path | None, option: str) -> str | None:
    """The secret in a file, without the line's end; None without a file.

    Raises:
        StartFailed: it cannot be read, or is empty.
    """
    if path is None:
        return None
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not a text"
        raise BadOption(f"{option}: {path} cannot be read: {reason}") from problem
    if not secret:
        raise BadOption(f"{option}: {path} is empty; write the secret into it")
    return secret


def print_json(value: object) -> None:
    """Print frozen data as indented JSON."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
