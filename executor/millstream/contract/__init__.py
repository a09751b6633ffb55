"""What scheduler and worker say to each other, and what a checkpoint is: frozen data and its bytes.

Belongs here: types both sides must read alike, their JSON form, their versions.  Does not belong here: behaviour, I/O,
clocks, or anything that only one side needs.  This is the one part of millstream that headgate may import.
"""
