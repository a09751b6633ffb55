"""Make readings, run the job here, and check its answer against plain Python: `python examples/meters/try.py`.

Exit code 0 if every customer's every hour is right.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from millstream import read_committed

HERE = Path(__file__).parent
START = datetime(2024, 3, 1)
HOURS, CUSTOMERS, REGIONS = 48, 40, 3
PRICE, OFF_PEAK_PRICE = 0.32, 0.19


def make(folder: Path, seed: int) -> list[dict[str, object]]:
    """Two days of readings, every five minutes or every fifteen, most in order, some hours late."""
    chance = random.Random(seed)
    arriving: list[tuple[datetime, int, dict[str, object]]] = []
    for number in range(CUSTOMERS * 2):
        minutes = chance.choice((5, 15))
        for step in range(HOURS * 60 // minutes):
            at = START + timedelta(minutes=step * minutes)
            delay = timedelta(minutes=chance.choice((0, 1, 19) if chance.random() < 0.98 else (90, 240)))
            kwh = round(chance.expovariate(1.0) * minutes / 60, 3)
            reading = {"meter": f"m{number}", "customer": f"c{number % CUSTOMERS}", "at": at.isoformat(), "kwh": kwh}
            arriving.append((at + delay, number, reading))
    arriving.sort(key=lambda each: each[:2])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for region in range(REGIONS):
        lines = [json.dumps(reading) for _, number, reading in arriving if number % REGIONS == region]
        (folder / f"region-{region}.jsonl").write_text("\n".join(lines) + "\n")
    return [reading for _, _, reading in arriving]


def expected(readings: list[dict[str, object]]) -> dict[tuple[str, datetime], tuple[int, float, float]]:
    """Per customer and hour: readings, kWh and cost."""
    totals: dict[tuple[str, datetime], tuple[int, float, float]] = defaultdict(lambda: (0, 0.0, 0.0))
    for reading in readings:
        at, kwh = datetime.fromisoformat(str(reading["at"])), float(str(reading["kwh"]))
        price = OFF_PEAK_PRICE if at.hour < 6 or at.hour >= 22 else PRICE
        key = str(reading["customer"]), at.replace(minute=0)
        count, used, cost = totals[key]
        totals[key] = count + 1, used + kwh, cost + kwh * price
    return dict(totals)


def main() -> int:
    """Make, run, compare."""
    readings = make(HERE / "readings", seed=7)
    shutil.rmtree(HERE / "result", ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "headgate",
        "run",
        str(HERE / "job.yaml"),
        "--fresh",
        "--data-dir",
        ".headgate/meters",
    ]
    subprocess.run(command, check=True)
    rows = read_committed(HERE / "result" / "usage")
    newest = (
        rows.with_columns(pl.col("window_start").str.to_datetime())
        .sort("revision")
        .unique(["customer", "window_start"], keep="last")
    )
    found = {
        (row["customer"], row["window_start"]): (row["readings"], row["kwh"], row["cost"])
        for row in newest.iter_rows(named=True)
    }
    wanted = expected(readings)
    wrong = [
        key
        for key in sorted({*found, *wanted})
        if key not in found
        or key not in wanted
        or found[key][0] != wanted[key][0]
        or any(abs(a - b) > 1e-6 for a, b in zip(found[key][1:], wanted[key][1:], strict=True))
    ]
    corrections = rows.filter(pl.col("pane") == "late").height
    print(f"{len(readings)} readings, {len(found)} hours of customers, {corrections} corrections")  # noqa: T201
    print("equal: no, first " + str(wrong[0]) if wrong else "equal: yes")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
