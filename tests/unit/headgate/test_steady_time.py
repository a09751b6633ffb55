"""Time to decide by, under a clock that is set forward and back."""

from headgate.steady_time import SteadyTime


class SetClock:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.offset = 1_000_000.0
        self.passed = 0.0

    def now(self) -> float:
        return self.offset + self.passed

    def monotonic(self) -> float:
        return self.passed


def test_time_goes_on_while_the_clock_is_behind_and_meets_it_again() -> None:
    """Set back by a minute: half pace for two, then as the clock says."""
    clock = SetClock()
    time = SteadyTime(clock)
    clock.passed = 10.0
    assert time.now() == 1_000_010.0
    clock.offset -= 60.0
    assert time.now() == 1_000_010.0
    clock.passed = 50.0
    assert time.now() == 1_000_030.0
    clock.passed = 131.0
    assert time.now() == clock.now() == 1_000_071.0


def test_a_clock_set_forward_is_followed() -> None:
    """As after a machine has slept."""
    clock = SetClock()
    time = SteadyTime(clock)
    clock.offset += 3600.0
    assert time.now() == 1_003_600.0
