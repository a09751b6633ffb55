"""Measure what we are fast at, and against what: every figure beside a peer or a limit, in one run on one machine.

    python tests/bench/run.py [--only NAME] [--rounds N]

Runs every measurement of the modules beside this file (`figure.py` says what makes one), prints a table and writes
`build/bench.json`: `{name: {value, unit, against, ratio}}`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from figure import Figure, Measurement

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def measurements() -> dict[str, Measurement]:
    """All there is to measure, by name, module by module in the order of their names."""
    found: dict[str, Measurement] = {}
    for file in sorted(HERE.glob("*.py")):
        if file.stem != "run":
            figures = getattr(importlib.import_module(file.stem), "FIGURES", {})
            assert not found.keys() & figures, f"{file.name} repeats a name: {sorted(found.keys() & figures)}"
            found.update(figures)
    return found


def main() -> None:
    """Entry of the command."""
    known = measurements()
    parser = argparse.ArgumentParser(prog="tests/bench/run.py", description="measure against peers, in one run")
    parser.add_argument("--only", choices=list(known), action="append")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, Figure] = {}
    for name in options.only or known:
        with tempfile.TemporaryDirectory(prefix="headgate-bench-") as folder:
            figure = found[name] = known[name](Path(folder), options.rounds)
        print(
            f"{name:<22} {figure.value:>12,.0f} {figure.unit:<12} {figure.ratio:>6.2f} × {figure.against}", flush=True
        )
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({name: asdict(figure) for name, figure in found.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
