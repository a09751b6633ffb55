"""How long to wait before the next attempt of a worker that failed."""

from __future__ import annotations

import zlib
from typing import Final

from headgate.model.ids import TaskId
from headgate.model.job import Restart

_DOUBLINGS_MAX: Final = 40
"""Far beyond any bound, and small enough not to overflow."""
_SPREAD: Final = 0.2
LOSS_MAX_S: Final = 30.0
"""What is lost again and again before it runs is tried at least this often: it is no fault of the worker's."""


def delay_s(restart: Restart, failures: int, failed: TaskId) -> float:
    """Seconds from the failure of `failed`, the slot's `failures`-th in a row, to the next attempt.

    Doubles from `backoff_s` up to `backoff_max_s`, give or take a fifth that depends on the task's id alone: workers
    that failed together do not come back together, and a decision can be replayed.
    """
    assert failures >= 1, failures
    wait = min(restart.backoff_max_s, restart.backoff_s * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))
    share = zlib.crc32(failed.encode()) / 0xFFFFFFFF
    return min(restart.backoff_max_s, wait * (1 - _SPREAD + 2 * _SPREAD * share))


def loss_delay_s(restart: Restart, losses: int, lost: TaskId) -> float:
    """Seconds to the next attempt after `losses` in a row that ended before they ran, through no fault of their own.

    None after the first; then as after failures, but never long.  Without that an agent that drops whatever it is
    given, and whose resources are offered again at once, would be asked once a second for ever.
    """
    return 0.0 if losses <= 1 else min(LOSS_MAX_S, delay_s(restart, losses - 1, lost))
