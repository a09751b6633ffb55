"""Frozen data: what decisions look at and what they result in.

Belongs here: dataclasses, enums, ids, arithmetic on them, and checks when they are built.  Does not belong here:
decisions (`core`), I/O of any kind, clocks, randomness, logging.
"""
