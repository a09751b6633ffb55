"""A sink in memory that keeps the promises of a transactional one: for tests."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from millstream.contract.worker_spec import Delivery
from millstream.sinks.sink import OutputData, WriterContext


class CollectingSink:
    """Shared by all shards and attempts of a test; `frame` is what readers see."""

    def __init__(self, schema: pl.Schema) -> None:
        self._schema = schema
        self._prepared: dict[str, pl.DataFrame] = {}
        self._visible: dict[str, pl.DataFrame] = {}

    @property
    def name(self) -> str:
        """See `Sink`."""
        return "collect"

    @property
    def guarantees(self) -> frozenset[Delivery]:
        """See `Sink`."""
        return frozenset(Delivery)

    @property
    def frame(self) -> pl.DataFrame:
        """All visible rows, in the order in which they became visible."""
        return pl.concat([pl.DataFrame(schema=self._schema), *self._visible.values()])

    def open(self, context: WriterContext) -> CollectingWriter:
        """See `Sink`."""
        return CollectingWriter(context, self._prepared, self._visible)


class CollectingWriter:
    """Writes one shard's rows into its sink's memory."""

    def __init__(
        self, context: WriterContext, prepared: dict[str, pl.DataFrame], visible: dict[str, pl.DataFrame]
    ) -> None:
        self._whose = f"{context.sink_name}/{context.shard}"
        self._epoch = context.epoch
        self._prepared, self._visible = prepared, visible
        self._open: list[pl.DataFrame] = []

    def write(self, frame: pl.DataFrame) -> None:
        """See `SinkWriter`."""
        self._open.append(frame)

    def prepare(self, number: int) -> Sequence[OutputData]:
        """See `SinkWriter`."""
        if not self._open:
            return ()
        name = f"{self._whose}/{number}-{self._epoch}"
        self._prepared[name] = pl.concat(self._open)
        self._open = []
        return ({"name": name},)

    def promote(self, outputs: Sequence[OutputData]) -> Sequence[str]:
        """See `SinkWriter`."""
        for output in outputs:
            name = str(output["name"])
            if name in self._prepared:
                self._visible[name] = self._prepared.pop(name)
        return ()

    def restore(self, number: int, outputs: Sequence[OutputData]) -> Sequence[str]:
        """See `SinkWriter`."""
        listed = {str(output["name"]) for output in outputs}
        for place, known in ((self._prepared, listed), (self._visible, None)):
            for name in list(place):
                whose, _, rest = name.rpartition("/")
                commit, _, epoch = rest.partition("-")
                if whose != self._whose or int(epoch) > self._epoch:
                    continue
                if (known is not None and name not in known) or (known is None and int(commit) > number):
                    del place[name]
        return ()

    def discard(self) -> None:
        """See `SinkWriter`."""
        self._open = []
