"""Random schedules in virtual time: a fixed set of worlds ends well, and one that each commit draws anew.

`HEADGATE_SIM_SEED` runs that one instead of the commit's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixed_set import WORLDS

from headgate.testing.faults import Fault
from headgate.testing.simulation import report, simulate
from headgate.testing.world import Options


@pytest.mark.parametrize(("seed", "options"), WORLDS)
def test_a_storm_breaks_no_rule_and_is_followed_by_rest(seed: int, options: Options) -> None:
    """The real scheduler under the faults of one world."""
    outcome = simulate(seed, options)
    assert outcome.failure is None, report(outcome)


@pytest.mark.parametrize("seed", range(3))
def test_a_dead_stream_that_nobody_has_noticed_costs_no_worker(seed: int) -> None:
    """At the default interval heartbeats are missed for longer than workers may be silent."""
    outcome = simulate(seed, Options(weights={Fault.STREAM_SILENT: 1.0}, storm_s=300.0, heartbeat_s=15.0))
    assert outcome.failure is None, report(outcome)
    assert "stream-silent" in outcome.struck


@pytest.mark.parametrize("seed", range(3))
def test_no_executor_outlives_its_task_for_long(seed: int) -> None:
    """It has said its last word and hangs: nothing but a SHUTDOWN gets its container back."""
    weights = {Fault.WORKER_QUITS: 6.0, Fault.WORKER_LINGERS: 1.0, Fault.CALL_LOST: 0.1, Fault.SCHEDULER_DIES: 0.01}
    outcome = simulate(seed, Options(weights=weights))
    assert outcome.failure is None, report(outcome)
    assert "worker-lingers" in outcome.struck


def commit_seed() -> int:
    """A seed that every commit draws anew, and that stays the same for it; `HEADGATE_SIM_SEED` sets it."""
    chosen = os.environ.get("HEADGATE_SIM_SEED")
    if chosen is not None:
        return int(chosen)
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return int(git.stdout[:8], 16) if git.returncode == 0 else 0


def test_the_seed_of_this_commit_lives_through_a_virtual_day() -> None:
    """One world that nobody has seen before; a failure says how to see it again."""
    outcome = simulate(commit_seed(), Options(storm_s=60.0, span_s=86400.0))
    assert outcome.failure is None, report(outcome)


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_virtual_day_of_storms_and_lulls(seed: int) -> None:
    """Repetitions left out change nothing: after each lull all is well, and the next storm breaks no rule either."""
    outcome = simulate(seed, Options(storm_s=30.0, span_s=86400.0))
    assert outcome.failure is None, report(outcome)
    assert outcome.virtual_s >= 86400.0


def test_a_seed_is_one_story_in_every_process() -> None:
    """Equal digests here, again here, and in processes that order their sets differently."""
    program = (
        "from headgate.testing.simulation import simulate; from headgate.testing.world import Options\n"
        "print(*(simulate(seed, Options(storm_s=20.0)).digest for seed in (2, 3, 5)))"
    )

    def digests(hash_seed: str) -> list[str]:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=100
        )
        return run.stdout.split()

    here = [simulate(seed, Options(storm_s=20.0)).digest for seed in (2, 3, 5)]
    assert len(set(here)) == 3
    assert digests("1") == digests("2") == here
