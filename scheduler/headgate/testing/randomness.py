"""One seed, many generators, each with a name: a new use of chance does not move the others."""

from __future__ import annotations

import math
from random import Random


class Randomness:
    """Gives out generators.  Equal seeds and names give equal numbers in every process."""

    def __init__(self, seed: int | str) -> None:
        self.seed = seed

    def child(self, name: str) -> Random:
        """A generator that depends on the seed and the name alone."""
        return Random(f"{self.seed}:{name}")

    def below(self, name: str) -> Randomness:
        """As good as a seed of its own."""
        return Randomness(f"{self.seed}:{name}")


def log_uniform(randomness: Random, low: float, high: float) -> float:
    """A number between two positive bounds, all orders of magnitude alike."""
    return math.exp(randomness.uniform(math.log(low), math.log(high)))
