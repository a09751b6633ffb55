"""What streams read: the port (`source`) and its implementations.

A source knows shards, positions and how to decode records; it knows nothing of windows, checkpoints or ownership.
"""
