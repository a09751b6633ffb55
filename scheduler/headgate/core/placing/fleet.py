"""The known agents as columns: what they have free, what they are, which are offered now.

Amounts are int64, in thousandths as in `model.resources` (ports: a number), so sums and comparisons are exact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from headgate.core.attributes import attribute_values
from headgate.core.placing.columns import Column
from headgate.core.pool import Pool
from headgate.model.ids import AgentId
from headgate.model.job import Placement
from headgate.model.resources import Request, Resources
from headgate.model.task import TaskRecord

Bools = npt.NDArray[np.bool_]
Amounts = npt.NDArray[np.int64]

_MOST: Final = 1 << 62
"""Above every amount there is, and room for a sum."""


def amounts_of(request: Request) -> Amounts:
    """cpus, mem, disk, gpus, ports of a request."""
    wanted = (request.cpus_m, request.mem_m, request.disk_m, request.gpus_m, request.ports)
    return np.array([min(each, _MOST) for each in wanted], dtype=np.int64)


class Fleet:
    """Rows are pools, in the order of agent id and role; `free` has a row per kind of amount and a column per pool.

    Frozen but for `take` and `put_back`.  `changed` is the log of rows that these have touched.  Not thread-safe.
    """

    def __init__(self, pools: Iterable[Pool], tasks: Iterable[TaskRecord] = ()) -> None:
        self.pools: list[Pool] = sorted(pools, key=lambda pool: (pool.agent_id, pool.role))
        self.free: Amounts = _amounts([pool.resources for pool in self.pools])
        self.changed: list[int] = []
        self._tasks = tasks
        self._columns: dict[str, Column] = {}
        self._groups: dict[str, Column] = {}
        self._roles: dict[str, Bools] = {}
        self._allowed: dict[Placement, Bools] = {}

    def __len__(self) -> int:
        return len(self.pools)

    @cached_property
    def offered(self) -> Bools:
        """Pools with an offer in hand."""
        return np.array([bool(pool.offer_ids) for pool in self.pools], dtype=np.bool_)

    @cached_property
    def has_gpus(self) -> Bools:
        """Pools of agents with GPUs, free or not."""
        return np.array([pool.has_gpus for pool in self.pools], dtype=np.bool_)

    @cached_property
    def capacity(self) -> Amounts:
        """The most that each agent is known to have for us: what is free and what our tasks there have, or ever was."""
        tasks = [task for task in self._tasks if task.agent_id in self._first]
        used = np.zeros((5, len(self)), dtype=np.int64)
        if tasks:
            agents = self._agents[[self._first[task.agent_id] for task in tasks]]
            for kind, amounts in enumerate(_amounts([task.resources for task in tasks])):
                np.add.at(used[kind], agents, amounts)
        most: Amounts = self.free + used[:, self._agents]
        return np.maximum(most, _amounts([pool.most for pool in self.pools]))

    @cached_property
    def _first(self) -> dict[AgentId, int]:
        """The first row of each agent."""
        found: dict[AgentId, int] = {}
        for row, pool in enumerate(self.pools):
            found.setdefault(pool.agent_id, row)
        return found

    @property
    def agents(self) -> Collection[AgentId]:
        """Every agent once, in order."""
        return self._first.keys()

    def rows_of(self, agent_id: AgentId) -> range:
        """The rows of one agent, which stand together; empty if it is not known."""
        size = len(self.pools)
        first = last = self._first.get(agent_id, size)
        while last < size and self.pools[last].agent_id == agent_id:
            last += 1
        return range(first, last)

    def pool_of(self, agent_id: AgentId, role: str) -> Pool:
        """The pool of a known agent for a role that it has one for."""
        return next(self.pools[row] for row in self.rows_of(agent_id) if self.pools[row].role == role)

    @cached_property
    def _agents(self) -> npt.NDArray[np.intp]:
        """A number for each row's agent."""
        begins = np.zeros(len(self), dtype=np.intp)
        begins[list(self._first.values())] = 1
        return np.cumsum(begins) - 1

    def agents_in(self, mask: Bools) -> int:
        """How many agents the rows of the mask belong to."""
        if len(self._first) == len(self):
            return int(np.count_nonzero(mask))
        return int(np.unique(self._agents[mask]).size)

    def offers_role(self, role: str) -> Bools:
        """Pools for that role."""
        if role not in self._roles:
            self._roles[role] = np.array([pool.role == role for pool in self.pools], dtype=np.bool_)
        return self._roles[role]

    @cached_property
    def maintained(self) -> Sequence[int]:
        """Rows with a maintenance window, whenever it is."""
        return [row for row, pool in enumerate(self.pools) if pool.unavailability is not None]

    def column(self, attribute: str) -> Column:
        """The values of an attribute."""
        if attribute not in self._columns:
            values = attribute_values(self.pools, attribute)
            self._columns[attribute] = Column(values)
        return self._columns[attribute]

    def groups(self, attribute: str) -> Column:
        """The values of an attribute as texts, by which workers are counted."""
        if attribute not in self._groups:
            column = self.column(attribute)
            self._groups[attribute] = column if column.is_text else column.as_texts()
        return self._groups[attribute]

    def allowed(self, rule: Placement) -> Bools:
        """Rows that satisfy a constraint which looks at the agent alone."""
        if rule not in self._allowed:
            self._allowed[rule] = self.column(rule.attribute).satisfying(rule)
        return self._allowed[rule]

    def take(self, row: int, request: Request) -> Resources:
        """What a worker gets out of a pool; the caller made sure that it holds the request."""
        taken, self.pools[row] = self.pools[row].after(request)
        self.free[:, row] -= amounts_of(request)
        self.changed.append(row)
        return taken

    def put_back(self, row: int, pool: Pool) -> None:
        """Undo: the pool is as it was."""
        self.pools[row] = pool
        self.free[:, row] = _amounts([pool.resources])[:, 0]
        self.changed.append(row)


def _amounts(resources: Sequence[Resources]) -> Amounts:
    # In plain lists first: NumPy takes them faster than it takes numbers one by one.
    columns = (
        [each.cpus_m for each in resources],
        [each.mem_m for each in resources],
        [each.disk_m for each in resources],
        [each.gpus_m for each in resources],
        [each.port_count if each.ports else 0 for each in resources],
    )
    try:
        return np.array(columns, dtype=np.int64).reshape(5, len(resources))
    except OverflowError:
        return np.array([[min(each, _MOST) for each in column] for column in columns], dtype=np.int64)
