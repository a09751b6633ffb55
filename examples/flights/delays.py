"""Departures and their delay, per airport and scheduled hour.

A flight is in the log when it has left, so its scheduled hour may be long over: delays are the disorder of this stream.
An hour's result comes when the watermark has passed it, and every later departure corrects it.
"""

import polars as pl

from millstream import Stream, count, files, max, mean, share, tumbling

FLIGHT = {
    "origin": pl.String,
    "dest": pl.String,
    "carrier": pl.String,
    "flight": pl.Int64,
    "scheduled": pl.Datetime("ms"),
    "delay": pl.Float64,
}


def stream(flights: str, output: str) -> Stream:
    """From the partitioned log in folder `flights` into files in folder `output`."""
    return (
        Stream(files(flights, schema=FLIGHT, growing=True))
        .event_time("scheduled", out_of_orderness="2h", idle_after="30s")
        .filter(pl.col("delay").is_not_null())  # a cancelled flight does not depart
        .key_by("origin", partitioned=True)  # the log is partitioned by airport and hour
        .window(tumbling("1h"), allowed_lateness="2d")
        .aggregate(
            departures=count(),
            delay_mean=mean("delay"),
            delay_max=max("delay"),
            late_share=share(pl.col("delay") > 15),
        )
        .to(files(output))
    )
