"""The scheduler's own settings: patience, intervals, where things are.  Seconds throughout.

Each number says what it protects; job files set what differs from job to job.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from headgate.model.call import Framework
from headgate.model.ids import FrameworkId


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take before something is done about them."""

    reconcile_resend_s: float = 1.0
    """First repetition of an unanswered reconciliation; doubles."""
    reconcile_resend_max_s: float = 30.0
    reconcile_gate_s: float = 60.0
    """Launches wait this long for answers about recorded tasks.  A master that has just taken over answers nothing
    about agents not yet back, for ten minutes; what is still unanswered then counts as alive, and is asked again."""
    reconcile_all_every_s: float = 3600.0
    launch_silent_s: float = 10.0
    """A launch nobody answered is asked about after this."""
    staging_s: float = 300.0
    """Launched, and not running yet: images take minutes; more is stuck.  Doubles with each attempt that was."""
    staging_max_s: float = 3600.0
    starting_max: int = 1000
    """Launches on their way at once: a registry of images, and agents, are not to be overrun."""
    restore_s: float = 600.0
    """A shard that its owner claims or restores for longer than this is given to another.  Doubles each time."""
    stuck_shard_s: float = 300.0
    """So too one with a backlog of which nothing is processed, the sink not being what it waits for."""
    release_s: float = 120.0
    """A shard that is to be let go, and is not, is taken."""
    first_report_s: float = 30.0
    """Running, and never reported; or as long as the job waits for workers out of reach, if that is longer."""
    report_silent_s: float = 15.0
    """Running, and reports have stopped: seven are missing; or as long as the job waits, as before."""
    drain_s: float = 60.0
    kill_resend_s: float = 5.0
    kill_grace_s: float = 20.0
    """What a worker that is killed has for its last commits."""
    kill_overdue_s: float = 30.0
    """A kill that shows no effect: the executor is shut down, and the slot filled anew."""
    settle_s: float = 5.0
    """At a job's first start shards wait this long for workers on their way, so as not to move at once."""
    assignment_resend_s: float = 1.0
    announce_s: float = 0.5
    """At least this long between two UPDATE_FRAMEWORK; doubles while the master refuses them."""
    constrain_s: float = 2.0
    """The same when only offer constraints change, which follow everything that starts and ends."""
    operation_ask_s: float = 10.0
    """An operation that is silent is asked about after this, and again after twice as long; the master may answer
    sooner than it has taken in the ACCEPT, so not before."""
    operation_ask_max_s: float = 600.0
    probe_s: float = 60.0
    """How often it is asked whether an agent is there that has a reservation to give back."""
    reservation_forget_s: float = 14 * 86400.0
    """A reservation to give back on an agent that is not offered for this long is forgotten; so does Mesos with agents
    it cannot reach."""
    move_s: float = 120.0
    """What it takes to bring a worker to another agent: maintenance that begins earlier is not agreed to."""
    answer_again_s: float = 30.0
    """An inverse offer that was declined for want of room is looked at again."""
    hold_offers_s: float = 5.0
    """Offers that arrive during reconciliation are kept this long."""
    look_s: float = 3.0
    """After a subscription offers are looked at for so long, even if nothing is wanted, unless they come sooner."""
    revive_s: float = 1.0
    """At least this long between two REVIVE or SUPPRESS of one role."""
    revive_again_s: float = 60.0
    """While something is pending and no offer has come."""
    refuse_long_s: float = 600.0
    """An offer that cannot help.  REVIVE clears it, and an agent with more free defeats it."""
    refuse_short_s: float = 2.0
    """An offer that may help soon."""
    agent_failures: int = 3
    """So many failed tasks within `agent_failures_s` and the agent is left alone for `agent_avoid_s`."""
    agent_failures_s: float = 600.0
    agent_avoid_s: float = 300.0
    avoid_bends_s: float = 60.0
    """A worker that has waited for so long is started on an agent to be avoided if no other has room."""
    gpus_asked_s: float = 30.0
    """While no agent that could run it is offered to work without GPUs for this long, GPU agents are asked for."""
    gang_hold_s: float = 30.0
    """Offers are held for a gang for this long; when it is not complete then, all of them are given back."""
    gang_rest_s: float = 30.0
    """Then nothing is held for it for this long, so that others have their turn."""
    agent_forget_s: float = 86400.0
    """An agent not offered for this long, and without tasks of ours, is known no more."""
    maintenance_s: float = 3600.0
    """Nothing is started on an agent whose maintenance begins within this."""
    rebalance_s: float = 30.0
    """At least this long between two rounds of moves for balance alone."""
    shard_rest_s: float = 600.0
    """A shard that has just been moved is not moved again for balance alone within this."""
    shut_out_s: float = 10.0
    """Assigned, seen by the worker, and not owned: somebody of a higher epoch is in the shard's log."""
    jobs_over_max: int = 50
    """Records of jobs that are over, newest kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disaster:
    """When so much is lost at once that the cluster is to be left in peace (`core.disaster`).

    Both a share and a number must be reached within `window_s`, of workers or of agents; a single agent is never a
    disaster.  It is over when it has not been as bad for `calm_s`.
    """

    enabled: bool = True
    window_s: float = 120.0
    calm_s: float = 60.0
    workers_share: float = 0.2
    workers_min: int = 10
    agents_share: float = 0.2
    agents_min: int = 3
    starting_max: int = 10
    """Launches on their way at once while it lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How samples become loads."""

    window_s: float = 60.0
    records_min: int = 1000
    """Fewer records in the window than this, and less than `busy_min_s` of work: the cost is not measured."""
    busy_min_s: float = 1.0
    span_min_s: float = 5.0
    """A shorter window says nothing of rates."""
    fresh_s: float = 10.0
    """A shard without a sample this young has no fresh metrics."""

    def over(self, window_s: float) -> Measuring:
        """The same for a job that is measured over another time."""
        return replace(self, window_s=window_s, span_min_s=min(self.span_min_s, window_s / 2))


class GpuPolicy(Enum):
    """What work without GPUs may do on agents with GPUs, free or not."""

    KEPT = "kept"
    """Use them only if no other known agent could ever run it."""
    ALWAYS_KEPT = "always kept"
    OPEN = "open"
    """Use them like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the scheduler is told at its start and keeps.

    `bundles_url` is where agents fetch program bundles, as `<bundles_url>/<sha256>.zip`.
    """

    framework: Framework
    bundles_url: str
    patience: Patience = field(default_factory=Patience)
    measuring: Measuring = field(default_factory=Measuring)
    gpus: GpuPolicy = GpuPolicy.KEPT
    disaster: Disaster = field(default_factory=Disaster)
    forget_framework: FrameworkId | None = None
    """Give this framework id up, and every task of it, if it is the one in the store (`core.identity`)."""
