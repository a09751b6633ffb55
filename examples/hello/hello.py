"""Revenue per shop and hour, from files of orders."""

import polars as pl

from millstream import Stream, count, files, sum, tumbling

ORDER = {"at": pl.Datetime("ms"), "shop": pl.String, "amount": pl.Float64}


def revenue(orders: str, into: str) -> Stream:
    """Read orders, add them up, write one row per shop and hour."""
    return (
        Stream(files(orders, schema=ORDER))
        .event_time("at", out_of_orderness="10m")
        .filter(pl.col("amount") > 0)
        .key_by("shop", partitioned=True)  # all orders of a shop are in one file
        .window(tumbling("1h"), allowed_lateness="1h")
        .aggregate(orders=count(), revenue=sum("amount"))
        .to(files(into))
    )
