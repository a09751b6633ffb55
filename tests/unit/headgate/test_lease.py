"""A lead holds while it is renewed and its giver can be reached; what is over stays over."""

from __future__ import annotations

from headgate.adapters.lease import Lease


class Hands:
    """A clock that is moved by hand."""

    time = 100.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def test_it_holds_until_its_time_and_longer_when_renewed() -> None:
    clock = Hands()
    lease = Lease(clock, until=110.0)
    clock.time = 109.0
    assert lease.holds()
    lease.renew(119.0)
    clock.time = 118.9
    assert lease.holds()
    clock.time = 119.0
    assert not lease.holds()
    assert lease.over


def test_one_that_ran_out_is_not_renewed() -> None:
    """Whoever slept through its end must begin anew: another may have led meanwhile."""
    clock = Hands()
    lease = Lease(clock, until=110.0)
    clock.time = 111.0
    lease.renew(200.0)
    assert not lease.holds()


def test_it_does_not_hold_while_its_giver_is_out_of_reach_and_then_again() -> None:
    reached = [True]
    lease = Lease(Hands(), reached=lambda: reached[0], until=110.0)
    reached[0] = False
    assert not lease.holds()
    assert not lease.over
    reached[0] = True
    assert lease.holds()


def test_the_end_is_told_once_to_everybody_and_at_once_to_who_asks_later() -> None:
    lease = Lease(Hands())
    told: list[str] = []
    lease.when_over(lambda: told.append("early"))
    lease.end()
    lease.end()
    lease.when_over(lambda: told.append("late"))
    assert told == ["early", "late"]
    assert not lease.holds()
