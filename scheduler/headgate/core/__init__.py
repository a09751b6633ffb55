"""Decisions: plain functions from frozen data to frozen data.

Belongs here: what to do and why, as tables and formulas.  Does not belong here: I/O, clocks, randomness, logging.
"""
