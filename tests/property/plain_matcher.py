"""Placement as loops over agents: what `core.placing` has to agree with.  Small, slow, and written for its own sake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from headgate.core.attributes import attribute_text
from headgate.core.feasible import Surroundings, vetoes
from headgate.core.place import Want
from headgate.core.pool import Pool
from headgate.model.ids import AgentId
from headgate.model.job import JobSpec, Operator, Placement, Strategy
from headgate.model.waiting import Veto, VetoKind

Counts = Mapping[str, Counter[str]]


def plain_placing(wants: Sequence[Want], pools: Sequence[Pool]) -> tuple[list[tuple[str, int, str, str]], list[Pool]]:
    """((job, worker, agent, role) in the order of placement, what is left): one worker, then all pools again."""
    pools = sorted(pools, key=lambda pool: (pool.agent_id, pool.role))
    placed = []
    for want in sorted(wants, key=lambda want: (want.spec.worker.gpus_m == 0, want.submission, want.spec.name)):
        found, after = place_one_job(want, pools)
        if not want.gang or len(found) == len(want.workers):
            placed += found
            pools = after
    return placed, pools


def place_one_job(want: Want, pools: Sequence[Pool]) -> tuple[list[tuple[str, int, str, str]], list[Pool]]:
    pools = list(pools)
    counts = {name: Counter(found) for name, found in want.counts.items()}
    homes = Counter(want.homes)
    placed = []
    bend = False
    for worker in want.workers:
        best = find_best(want, pools, counts, homes, bend=bend)
        if best is None and want.around.avoided_bend:
            # From here on agents to be avoided are as good as any.
            bend = True
            best = find_best(want, pools, counts, homes, bend=bend)
        if best is None:
            break
        _, pools[best] = pools[best].after(want.spec.worker)
        pool = pools[best]
        placed.append((want.spec.name, worker, pool.agent_id, pool.role))
        homes[pool.agent_id] += 1
        for name in {each.attribute for each in want.spec.placement}:
            text = attribute_text(pool, name)
            if text is not None:
                counts.setdefault(name, Counter())[text] += 1
    return placed, pools


def find_best(want: Want, pools: Sequence[Pool], counts: Counts, homes: Counter[AgentId], *, bend: bool) -> int | None:
    best, best_score = None, 0.0
    for index, pool in enumerate(pools):
        against = vetoes(want.spec, pool, counts, want.around)
        if not pool.offer_ids or any(not (bend and veto.kind is VetoKind.AVOIDED) for veto in against):
            continue
        found = score(want.spec, pool, counts, homes, want.around)
        if best is None or found > best_score:
            best, best_score = index, found
    return best


def score(spec: JobSpec, pool: Pool, counts: Counts, homes: Counter[AgentId], around: Surroundings) -> float:
    there, wanted = pool.resources, spec.worker
    pairs = [
        (wanted.cpus_m, there.cpus_m),
        (wanted.mem_m, there.mem_m),
        (wanted.disk_m, there.disk_m),
        (wanted.gpus_m, there.gpus_m),
        (wanted.ports, there.port_count),
    ]
    shares = [asked / free for asked, free in pairs if asked]
    share = sum(shares) / len(shares) if shares else 0.0
    fitness = share if spec.strategy is Strategy.PACK else (1.0 - share) - homes[pool.agent_id]
    wishes = sum(each.weight for each in spec.placement if each.weight and holds(each, pool, counts, around))
    return fitness + wishes


def holds(each: Placement, pool: Pool, counts: Counts, around: Surroundings) -> bool:
    """Whether the pool satisfies the constraint, taken as a rule of a job that wants nothing else."""
    rule = Placement(attribute=each.attribute, operator=each.operator, value=each.value)
    return not rule_vetoes(rule, pool, counts, around)


def rule_vetoes(rule: Placement, pool: Pool, counts: Counts, around: Surroundings) -> bool:
    """The operators once more, from their documentation."""
    text = attribute_text(pool, rule.attribute)
    mine = counts.get(rule.attribute, Counter())
    if text is None:
        return rule.operator is not Operator.UNLIKE
    match rule.operator:
        case Operator.UNIQUE:
            return mine[text] > 0
        case Operator.MAX_PER:
            return mine[text] >= int(rule.value or 1)
        case Operator.GROUP_BY:
            groups = around.groups.get(rule.attribute, frozenset()) | {group for group in mine if mine[group] > 0}
            empty = len(groups) < int(rule.value or 0)
            return mine[text] > (0 if empty else min((mine[group] for group in groups), default=0))
        case Operator.CLUSTER if rule.value is None:
            return any(mine.values()) and text != min(group for group in mine if mine[group] > 0)
        case _:
            return _value_vetoes(rule, pool)


def _value_vetoes(rule: Placement, pool: Pool) -> bool:
    value = pool.hostname if rule.attribute == "hostname" else pool.attributes[rule.attribute]
    wanted = rule.value or ""
    items = value if isinstance(value, frozenset) else {attribute_text(pool, rule.attribute)}
    if rule.operator in (Operator.IS, Operator.CLUSTER):
        if isinstance(value, float):
            return not (wanted.isdigit() and float(wanted) == value)
        if isinstance(value, tuple):
            return not (wanted.isdigit() and any(each.begin <= int(wanted) <= each.end for each in value))
        return wanted not in items
    # The patterns of the test are plain alternatives.
    liked = any(item in wanted.split("|") for item in items)
    return liked is (rule.operator is Operator.UNLIKE)


def plain_checks(want: Want, pools: Sequence[Pool]) -> list[tuple[Pool, tuple[Veto, ...]]]:
    """What every pool has against the job."""
    return [(pool, vetoes(want.spec, pool, want.counts, want.around)) for pool in pools]
