"""A job as its owner wishes it: the job file, validated, with every default filled in.

Durations are seconds.  `core.job_file` makes these from a mapping and says what is wrong with one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from headgate.model.call import Container, FetchUri
from headgate.model.ids import JobName
from headgate.model.resources import Request
from millstream.contract.worker_spec import Delivery, Until


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run.  `sha256` is the hash of the bundle, None while the job is not bundled yet (a file as written).

    `file` is a path below the job file's folder; `include` are globs below it, of what else goes into the bundle.
    """

    file: str
    object: str = "stream"
    include: tuple[str, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict)
    sha256: str | None = None


class Operator(Enum):
    """How an attribute limits where workers go (Marathon's words)."""

    UNIQUE = "unique"
    GROUP_BY = "group_by"
    MAX_PER = "max_per"
    LIKE = "like"
    UNLIKE = "unlike"
    CLUSTER = "cluster"
    IS = "is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One constraint.  Without `weight` it is a rule; with one it is a wish that counts that much in the ranking.

    `attribute` is an agent attribute, or `hostname`, `@region`, `@zone`.  `value` is what the operator compares with:
    a regular expression (like, unlike), a text or number (is, cluster), a count (max_per, group_by: at least so many
    groups).  What each means for each kind of attribute is `core.attributes`'.
    """

    attribute: str
    operator: Operator
    value: str | None = None
    weight: float | None = None


class Strategy(Enum):
    """Which of the agents that fit is taken."""

    PACK = "pack"
    """The fullest: whole agents stay free for what needs them."""
    SPREAD = "spread"
    """The one with the fewest workers of the job, of these the emptiest: a lost agent takes few workers with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """How many workers there may be, and how many there are before anything is known.

    `gang`: while the job has no task at all, its workers are started all at once or not at all.
    """

    min: int = 1
    max: int = 1
    initial: int = 1
    gang: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where state is kept: a URL or an absolute path.  None: the scheduler's default store, a folder per job."""

    store: str | None = None
    interval_s: float = 10.0
    keep: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The policy on backlog; the formulas and their sources are in `core.scaling`.

    `cooldown_up_s`/`cooldown_down_s`: the least time since the last change before another one up, or down.
    `window_s`: rates and costs are measured over this time; shorter is quicker, and more easily fooled.
    """

    enabled: bool = True
    catch_up_s: float = 120.0
    utilization: float = 0.7
    handover_s: float = 20.0
    cooldown_up_s: float = 30.0
    cooldown_down_s: float = 120.0
    window_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """How attempts follow each other when a worker fails."""

    backoff_s: float = 1.0
    backoff_max_s: float = 300.0
    healthy_after_s: float = 60.0
    give_up_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """A worker keeps its resources, and a persistent volume if `volume_m` > 0, on its agent from attempt to attempt.

    `volume_m` is in thousandths of a MiB; `path` is where the volume appears in the sandbox.  When the agent has not
    offered them for `abandon_after_s` while the worker waits, the worker starts elsewhere, without the data.
    """

    volume_m: int = 0
    path: str = ""
    abandon_after_s: float = 600.0

    def __post_init__(self) -> None:
        assert (self.volume_m > 0) == bool(self.path), self


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """How a new version replaces an old one."""

    max_unavailable: int = 1
    canary: int = 0
    rollback: bool = True


DEFAULT_REQUEST = Request(cpus_m=1000, mem_m=1_024_000, disk_m=1_024_000)
"""What a worker gets when its job does not say: one cpu, 1 GiB of memory, 1 GiB of disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One job file."""

    name: JobName
    program: Program
    role: str = "*"
    engine: str = "millstream"
    container: Container = field(default_factory=Container)
    fetch: tuple[FetchUri, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    worker: Request = DEFAULT_REQUEST
    keep: Keep | None = None
    revocable: bool = False
    """Workers above `workers.min` run on revocable resources, and on no others."""
    port_names: tuple[str, ...] = ()
    """Names of the worker's ports, in their order, if they have any."""
    workers: Workers = field(default_factory=Workers)
    rate_limit: float | None = None
    placement: tuple[Placement, ...] = ()
    strategy: Strategy = Strategy.PACK
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    delivery: Delivery = Delivery.EXACTLY_ONCE
    scaling: Scaling = field(default_factory=Scaling)
    restart: Restart = field(default_factory=Restart)
    upgrade: Upgrade = field(default_factory=Upgrade)
    unreachable_replace_after_s: float = 30.0
    until: Until = Until.FOREVER
