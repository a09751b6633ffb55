"""When to try a failed shard again, and when to call it failed."""

from __future__ import annotations

from typing import Final

QUICK_RETRIES: Final = 5
"""So many failures in a row are dealt with inside the worker; from then on the shard is reported as failed.

The program's third failure on the same batch isolates the bad records, so there is room for that.
"""

_FIRST_S: Final = 0.5
_SLOW_S: Final = 30.0


def retry_pause_s(failures: int, *, jitter: float) -> float:
    """How long to wait after the failure of that number, counted from 1; `jitter` in [0, 1) takes up to half off."""
    whole = _SLOW_S if is_failed(failures) else _FIRST_S * 2.0 ** (failures - 1)
    return whole * (1.0 - jitter / 2)


def is_failed(failures: int) -> bool:
    """Whether so many failures in a row make the shard a failed one."""
    return failures >= QUICK_RETRIES
