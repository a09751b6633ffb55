"""The one place where the simulator's drivers read the clock."""

import time


def time_of_day() -> float:
    """Seconds since 1970."""
    return time.time()  # noqa: TID251 (this is the port's real side)
