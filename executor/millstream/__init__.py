"""Millstream: write a stream program in Python, on columns, and run it shard by shard.

A program is a `Stream`; expressions are Polars expressions.  `millstream.testing` runs it on rows in a test,
`millstream.runtime.shard` is what a worker drives.

`max`, `min` and `sum` are aggregates here; `from millstream import *` leaves Python's own alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.language import *  # noqa: F403
    from millstream.language import max as max  # noqa: A004
    from millstream.language import min as min  # noqa: A004
    from millstream.language import sum as sum  # noqa: A004


def __getattr__(name: str) -> Any:
    """The words of `millstream.language`, loaded when one is used: the scheduler needs the contract, and no Polars."""
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module("millstream.language"), name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return [*globals(), *__getattr__("__all__")]
