"""The commands of the `headgate` program, one module per group.

Belongs here: options, what is printed, which exit code.  Does not belong here: what the commands do, which is `main`'s
wiring and the adapters'.  Modules import what is heavy inside their functions, so that `headgate --help` is quick.
"""
