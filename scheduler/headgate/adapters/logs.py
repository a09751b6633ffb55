"""Where the scheduler's log goes and how its lines look: text for people, JSON for programs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import structlog

_TIME = structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%S.%fZ", utc=True)
_SHARED: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _TIME,
    structlog.processors.format_exc_info,
]
_QUIET = ("uvicorn.error", "kazoo", "urllib3", "asyncio")
"""Libraries that tell every step of theirs; their warnings are enough."""


def log_to_stream(stream: TextIO = sys.stderr, *, level: str = "INFO", as_json: bool = False) -> None:
    """Send the log of this process to a stream, from this level on."""
    _install(logging.StreamHandler(stream), level=level, as_json=as_json)


@contextmanager
def logging_to_file(path: Path, *, level: str = "INFO") -> Iterator[None]:
    """Send the log of this process to the end of a file, while the terminal is drawn on."""
    handler = logging.FileHandler(path, encoding="utf-8")
    _install(handler, level=level, as_json=False)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _install(handler: logging.Handler, *, level: str, as_json: bool) -> None:
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer() if as_json else _line
    processors: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        renderer,
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors, foreign_pre_chain=_SHARED))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _line(_: object, __: str, event: structlog.typing.EventDict) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level'):<8}{event.pop('logger')}: {event.pop('event')}"
    trace = event.pop("exception", None)
    more = "".join(f" {key}={value}" for key, value in event.items())
    return f"{head}{more}\n{trace}" if trace else f"{head}{more}"
