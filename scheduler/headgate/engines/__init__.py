"""How each kind of job becomes workers: a job and an attempt in, a launch out.

Belongs here: what an engine's workers are started with.  Does not belong here: I/O, decisions about when and where.
"""
