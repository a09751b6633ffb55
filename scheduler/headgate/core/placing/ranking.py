"""Which of the agents that fit is best.  Higher is better; ties go by agent id and role, the order of the fleet.

pack:   how full the worker makes the agent: the share of what it has, averaged over the kinds wanted
spread: how empty it leaves it, less one for each worker of the job that is there already
and for both the weight of every wish that the agent satisfies
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from headgate.core.feasible import Surroundings
from headgate.core.placing.checks import Constraint
from headgate.core.placing.columns import Rows
from headgate.core.placing.fleet import Amounts, Bools, Fleet, amounts_of
from headgate.model.ids import AgentId
from headgate.model.job import JobSpec, Strategy
from headgate.model.resources import Request

Scores = npt.NDArray[np.float64]

_NO_FIT = -np.inf


class Tightness:
    """How much of what each row has a request takes; minus infinity where it does not fit.

    Shared by all jobs with the same request, and kept up to date with what is taken.
    """

    def __init__(self, request: Request, fleet: Fleet) -> None:
        wanted = amounts_of(request)
        self._kinds = np.flatnonzero(wanted)
        self._wanted = wanted[self._kinds, None]
        self._fleet = fleet
        self._seen = len(fleet.changed)
        self._shares: Scores = self._of(fleet.free)

    def shares(self) -> Scores:
        """By row.  Not to be written to."""
        news = self._fleet.changed[self._seen :]
        if news:
            self._shares[news] = self._of(self._fleet.free[:, news])
            self._seen += len(news)
        return self._shares

    def _of(self, free: Amounts) -> Scores:
        there = free[self._kinds]
        shares = np.full(there.shape[1], _NO_FIT, dtype=np.float64)
        fits = np.flatnonzero((self._wanted <= there).all(axis=0))
        if self._kinds.size:
            total = np.zeros(fits.size, dtype=np.float64)
            for wanted, column in zip(self._wanted, there, strict=True):
                total += wanted / column[fits]
            shares[fits] = total / self._kinds.size
        else:
            shares[fits] = 0.0
        return shares


class Ranking:
    """The scores of all rows for one job, while its workers are placed one after the other."""

    def __init__(
        self,
        spec: JobSpec,
        fleet: Fleet,
        tightness: Tightness,
        usable: Bools,
        counts: Mapping[str, Counter[str]],
        homes: Mapping[AgentId, int],
        around: Surroundings,
    ) -> None:
        constraints = [Constraint(each, fleet, counts, around) for each in spec.placement]
        self._rules = [each for each in constraints if each.rule.weight is None]
        self._wishes = [(each, each.rule.weight) for each in constraints if each.rule.weight is not None]
        self._tightness = tightness
        self._usable = usable
        self._own: Scores | None = None
        if spec.strategy is Strategy.SPREAD:
            self._own = np.zeros(len(fleet), dtype=np.float64)
            for agent_id, count in homes.items():
                self._own[fleet.rows_of(agent_id)] = count
        self._scores: Scores = np.empty(len(fleet), dtype=np.float64)
        self._rank(slice(None))

    def use(self, rows: Bools) -> None:
        """Change which rows may be used."""
        self._usable = rows
        self._rank(slice(None))

    def best(self) -> int | None:
        """The best row; None if none fits."""
        if not self._scores.size:
            return None
        row = int(self._scores.argmax())
        return row if self._scores[row] > _NO_FIT else None

    def taken(self, row: int, same_agent: range, places: Mapping[str, str]) -> None:
        """A worker has been put on that row, whose agent has these values."""
        if self._own is not None:
            self._own[same_agent] += 1
        stale = [np.array([row, *same_agent], dtype=np.intp)]
        for each in (*self._rules, *(wish for wish, _ in self._wishes)):
            text = places.get(each.rule.attribute)
            if text is not None:
                stale.append(each.add(text))
        self._rank(np.concatenate(stale))

    def _rank(self, rows: Rows) -> None:
        allowed = self._usable[rows]
        for rule in self._rules:
            allowed = allowed & rule.at(rows)
        shares = self._tightness.shares()[rows]
        fitness = shares if self._own is None else (1.0 - shares) - self._own[rows]
        wishes: Scores | float = 0.0
        for wish, weight in self._wishes:
            wishes = wishes + np.where(wish.at(rows), weight, 0.0)
        self._scores[rows] = np.where(allowed & (shares > _NO_FIT), fitness + wishes, _NO_FIT)
