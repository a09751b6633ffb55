"""Where checkpoints live: the port (`object_store`), its implementations, and the shard log on top of it."""
