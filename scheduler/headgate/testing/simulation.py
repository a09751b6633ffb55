"""Runs worlds, and tells how each ended."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace

from headgate.testing.rules import Violation
from headgate.testing.timeline import BEGIN
from headgate.testing.world import Options, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one world ended.  `failure` is None if it ended well; `digest` is that of its trace.

    `tail` are the last lines of the trace, `faults` what could go wrong, `struck` what did, how often.
    """

    seed: int
    storm_s: float
    span_s: float | None
    digest: str
    steps: int
    virtual_s: float
    calm_after_s: float | None
    faults: str
    struck: str
    rule: str | None = None
    failure: str | None = None
    tail: tuple[str, ...] = ()


def simulate(seed: int, options: Options | None = None, *, lines: int = 60) -> Outcome:
    """Run one world to its end.  Equal arguments give equal outcomes, in any process."""
    options = options or Options()
    world = World(seed, options)
    rule = failure = None
    try:
        world.run()
    except Violation as violation:
        rule, failure = violation.rule, str(violation)
    except Exception as problem:  # noqa: BLE001 (whatever the program under test does wrong is what is looked for)
        rule, failure = type(problem).__name__, traceback.format_exc()
    if failure is not None:
        world.trace.say("world", f"broken: {rule}")
    return Outcome(
        seed=seed,
        storm_s=options.storm_s,
        span_s=options.span_s,
        digest=world.trace.digest,
        steps=world.steps,
        virtual_s=world.timeline.now() - BEGIN,
        calm_after_s=world.calm_after_s,
        faults=world.faults,
        struck=", ".join(f"{fault.value} {count}" for fault, count in world.weather.counted.items() if count),
        rule=rule,
        failure=failure,
        tail=tuple(world.trace.last(lines)) if failure is not None else (),
    )


def report(outcome: Outcome) -> str:
    """An outcome for people: a line if it ended well, else the whole story and how to see it again."""
    if outcome.failure is None:
        return (
            f"seed {outcome.seed}: well after {outcome.calm_after_s:.0f} s of calm, {outcome.steps} steps, "
            f"digest {outcome.digest}"
        )
    return "\n".join(
        (
            f"seed {outcome.seed}: FAILED after {outcome.virtual_s:.1f} s, {outcome.steps} steps",
            f"  faults: {outcome.faults}",
            f"  struck: {outcome.struck}",
            *(f"  | {line}" for line in outcome.tail),
            f"  {outcome.failure}",
            f"  again: python -m headgate.testing --seed {outcome.seed} --storm {outcome.storm_s:g}"
            f"{'' if outcome.span_s is None else ' --day'}",
        )
    )


def shortest(outcome: Outcome, options: Options, *, lines: int = 60) -> Outcome:
    """A failure by the same rule after a shorter storm, found by halving; `outcome` itself if no half shows it."""
    found, low, high = outcome, 0.0, options.storm_s
    while high - low > 1.0:
        middle = (low + high) / 2
        tried = simulate(outcome.seed, replace(options, storm_s=middle), lines=lines)
        if tried.rule == outcome.rule:
            found, high = tried, middle
        else:
            low = middle
    return found
