"""`python -m headgate.testing`: random schedules in virtual time."""

from __future__ import annotations

import argparse
import random
import sys

from headgate.testing.simulation import report, shortest, simulate
from headgate.testing.world import Options

RUNS = 100
DAY_S = 86400.0


def main(arguments: list[str] | None = None) -> int:
    """Run worlds, print how each ended; the exit code says whether all ended well."""
    parser = argparse.ArgumentParser(prog="python -m headgate.testing", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; drawn if left out")
    parser.add_argument("--runs", type=int, help=f"how many seeds, one after the other (1 with --seed, else {RUNS})")
    parser.add_argument(
        "--storm", type=float, default=Options().storm_s, help="seconds of faults in each (%(default)s)"
    )
    parser.add_argument("--day", action="store_true", help="spread the storm over a virtual day")
    parser.add_argument("--lines", type=int, default=60, help="how much of the trace to show (%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="show failures and the sum only")
    parser.add_argument("--shorten", action="store_true", help="look for the shortest storm that still fails")
    chosen = parser.parse_args(arguments)
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(10**9)
    runs = chosen.runs or (1 if chosen.seed is not None else RUNS)
    options = Options(storm_s=chosen.storm, span_s=DAY_S if chosen.day else None)
    failed = 0
    for number in range(seed, seed + runs):
        outcome = simulate(number, options, lines=chosen.lines)
        if outcome.failure is not None:
            failed += 1
            if chosen.shorten:
                outcome = shortest(outcome, options, lines=chosen.lines)
        if outcome.failure is not None or not chosen.quiet:
            sys.stdout.write(report(outcome) + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"{runs} runs from seed {seed}: {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
