"""Decisions and state of a shard: windows, watermarks, lag.

Belongs here: plain functions and state machines on values and frames; the clock comes in as an argument.  Does not
belong here: I/O, threads, randomness, logging, or anything that knows a particular source, sink or store.
"""
