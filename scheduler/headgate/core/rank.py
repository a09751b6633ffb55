"""Which of the agents that fit is best: fullest first, then the job's wishes; ties by agent id (the caller's).

Packing leaves whole agents free for what needs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from headgate.core.feasible import Surroundings
from headgate.core.placement import placement_veto
from headgate.core.pool import Pool, attribute_text
from headgate.model.job import JobSpec
from headgate.model.resources import Request


def score(spec: JobSpec, pool: Pool, counts: Mapping[str, Counter[str]], around: Surroundings) -> float:
    """Higher is better: tightness in 0…1, and the weight of every wish that the agent satisfies."""
    return tightness(spec.worker, pool) + sum(
        each.weight
        for each in spec.placement
        if each.weight is not None
        and placement_veto(
            each,
            attribute_text(pool, each.attribute),
            counts.get(each.attribute, Counter()),
            around.groups.get(each.attribute, frozenset()),
        )
        is None
    )


def tightness(request: Request, pool: Pool) -> float:
    """How much of what the pool has the request takes, averaged over the kinds it wants."""
    offered = pool.resources
    shares = [
        wanted / there
        for wanted, there in (
            (request.cpus_m, offered.cpus_m),
            (request.mem_m, offered.mem_m),
            (request.disk_m, offered.disk_m),
            (request.gpus_m, offered.gpus_m),
            (request.ports, offered.port_count),
        )
        if wanted
    ]
    return sum(shares) / len(shares) if shares else 0.0
