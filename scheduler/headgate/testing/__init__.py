"""Headgate in a world of its own: one thread, virtual time, faults drawn from a seed.

The scheduler's real loop, core and codec run against the simulated master and agents; clock, store and network are
fakes, and workers are played by the contract alone.  `python -m headgate.testing` runs random schedules.

Belongs here: what tests of Headgate, and of frameworks like it, are written with.  Does not belong here: anything that
reads a real clock, opens a socket, or draws from a generator that no seed has made; `iam` does open one, for tests of a
whole scheduler.
"""
