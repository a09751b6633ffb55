"""Which shard of the next stage a key belongs to.

The answer is written down in logs and state, so it must be the same on every machine and under every release: CRC-32 of
the key's JSON, and nothing that a library may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec
import polars as pl

_encode = msgspec.json.Encoder(enc_hook=str, decimal_format="string").encode
_PARTITION = "__partition"


def partition_of(key: Sequence[object], shards: int) -> int:
    """The partition of one key, given as the values of its columns in order."""
    return crc32(_encode(list(key))) % shards


def split(rows: pl.DataFrame, keys: Sequence[str], shards: int) -> dict[int, pl.DataFrame]:
    """The rows by partition, in their order; partitions without rows are left out.

    Costs one step of Python per distinct key, the rest is done on columns.
    """
    if rows.height == 0:
        return {}
    distinct = rows.select(keys).unique()
    numbers = pl.Series(_PARTITION, [partition_of(key, shards) for key in distinct.iter_rows()], dtype=pl.UInt32)
    numbered = rows.join(
        distinct.with_columns(numbers), on=list(keys), how="left", nulls_equal=True, maintain_order="left"
    )
    parts = numbered.partition_by(_PARTITION, include_key=False, as_dict=True, maintain_order=True)
    return {int(key[0]): part for key, part in sorted(parts.items())}
