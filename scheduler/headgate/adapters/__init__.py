"""The world outside: each module fills one port, or speaks to one kind of peer.

Belongs here: sockets, files, clocks, ZooKeeper, terminals, and the formats that go over them.  Does not belong here:
decisions.  `main` alone knows which adapters there are.
"""
