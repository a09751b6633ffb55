"""Placement on arrays: every known agent a row, every question a column, every answer about all agents at once.

`fleet` holds the agents, `columns` what constraints ask of them, `checks` one job against all of them, `ranking` which
is best, `gang` all or nothing; `judgement` says why a job waits and what would help.  What a single check means is said
one agent at a time in `core.feasible` and `core.placement`, and the arrays give the same answers.
"""
