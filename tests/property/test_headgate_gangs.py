"""Gangs that compete: each whole or not there, nothing held beyond its bound, and never all of them stuck."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from paper_cluster import SETTINGS, PaperCluster, job_spec, started

from headgate.model.job import JobSpec, Workers

HOLD_S = SETTINGS.patience.gang_hold_s
STEP_S = 0.25


def gang(name: str, workers: int) -> JobSpec:
    """Workers of one cpu."""
    return job_spec(name, workers=Workers(min=workers, max=workers, initial=workers, gang=True))


def watched(cluster: PaperCluster, sizes: dict[str, int]) -> None:
    """Hold every tick to the two promises."""

    def look() -> None:
        for name, size in sizes.items():
            assert len(cluster.live(name)) in (0, size), name
        oldest = min((offer.received_at for offer in cluster.offers.values()), default=cluster.now)
        assert cluster.now - oldest <= HOLD_S + STEP_S

    cluster.watchers.append(look)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=3),
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0.25, 3.0, 11.0, 31.0])), min_size=1, max_size=8),
    st.integers(0, 3),
)
def test_gangs_that_fit_start_whole_whatever_comes_when(
    sizes: list[int], agents: list[tuple[int, float]], single: int
) -> None:
    """Agents appear one by one, and a job of single workers takes what it gets meanwhile.

    In the end there is no gang left that what is free would suffice for.
    """
    cluster = PaperCluster(0)
    names = {f"g{number}": size for number, size in enumerate(sizes)}
    watched(cluster, names)
    started(cluster, *(gang(name, size) for name, size in names.items()))
    for number, (cpus, later_s) in enumerate(agents):
        cluster.add_agent(f"a{number}", cpus=cpus)
        if number == 1 and single:
            assert cluster.scheduler is not None
            cluster.scheduler.submit(job_spec("single", workers=single))
        cluster.advance(later_s)

    def free_cpus() -> int:
        return sum(cpus for cpus, _ in agents) - len(cluster.live())

    def none_left() -> bool:
        waiting = [size for name, size in names.items() if not cluster.live(name)]
        return all(size > free_cpus() for size in waiting)

    cluster.until(none_left, within=(len(sizes) + 1) * (HOLD_S + SETTINGS.patience.gang_rest_s) + 120)
    if single and len(agents) > 1:
        cluster.until(lambda: len(cluster.live("single")) == single or free_cpus() == 0, within=HOLD_S + 90)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 5), st.integers(2, 5))
def test_two_gangs_that_exclude_each_other_take_turns(first: int, second: int) -> None:
    """There is room for either and not for both: the one that is there first keeps it, and leaves it to the other."""
    cluster = PaperCluster(0)
    watched(cluster, {"g0": first, "g1": second})
    scheduler = started(cluster, gang("g0", first), gang("g1", second))
    for number in range(max(first, second)):
        cluster.add_agent(f"a{number}", cpus=1)
        cluster.advance(4)
    cluster.until(lambda: bool(cluster.live()), within=200)
    (winner,) = {task.job for task in cluster.live()}
    cluster.watchers.clear()
    scheduler.cancel(job_spec(winner).name)
    other = "g1" if winner == "g0" else "g0"
    cluster.until(lambda: len(cluster.live(other)) == {"g0": first, "g1": second}[other], within=200)
