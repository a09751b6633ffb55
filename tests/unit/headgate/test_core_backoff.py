"""The wait between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.backoff import delay_s
from headgate.model.ids import TaskId
from headgate.model.job import Restart

RESTART = Restart(backoff_s=1.0, backoff_max_s=300.0)


def test_it_doubles_give_or_take_a_fifth() -> None:
    """One, two, four seconds, within the spread."""
    for failures in range(1, 9):
        base = 2.0 ** (failures - 1)
        assert 0.8 * base <= delay_s(RESTART, failures, TaskId("j.1.0.3")) <= 1.2 * base


@given(st.integers(1, 10**9), st.text(max_size=20))
def test_it_is_bounded_and_the_same_each_time(failures: int, task: str) -> None:
    """However often, whatever the id."""
    wait = delay_s(RESTART, failures, TaskId(task))
    assert 0 < wait <= RESTART.backoff_max_s
    assert wait == delay_s(RESTART, failures, TaskId(task))


def test_workers_that_failed_together_do_not_come_back_together() -> None:
    """The spread depends on the task."""
    waits = {delay_s(RESTART, 5, TaskId(f"j.1.{worker}.0")) for worker in range(20)}
    assert len(waits) == 20
