"""What every customer uses and owes per hour, from the readings of smart meters.

A customer may have meters in several regions, and a region's readings come in a file of its own: so what belongs to one
customer is brought together by `.key_by`.  Power costs less at night.  Some readings come late and correct what was
said before.
"""

import polars as pl

from millstream import Stream, count, files, max, sum, tumbling

READING = {"meter": pl.String, "customer": pl.String, "at": pl.Datetime("ms"), "kwh": pl.Float64}
PRICE = 0.32
OFF_PEAK_PRICE = 0.19


def usage(readings: str, into: str) -> Stream:
    """Readings in, a row per customer and hour out: first what is known so far, then the hour, then corrections."""
    hour = pl.col("at").dt.hour()
    off_peak = (hour < 6) | (hour >= 22)
    return (
        Stream(files(readings, schema=READING))
        .event_time("at", out_of_orderness="20m")
        .filter(pl.col("kwh") >= 0)
        .with_columns(
            cost=pl.col("kwh") * pl.when(off_peak).then(OFF_PEAK_PRICE).otherwise(PRICE),
            discounted=pl.when(off_peak).then(pl.col("kwh")),
        )
        .key_by("customer", shards=4)
        .window(tumbling("1h"), allowed_lateness="6h", early="1s")
        .aggregate(
            readings=count(), kwh=sum("kwh"), cost=sum("cost"), off_peak_kwh=sum("discounted"), highest=max("kwh")
        )
        .to(files(f"{into}/usage"))
        .late(files(f"{into}/late"))
    )
