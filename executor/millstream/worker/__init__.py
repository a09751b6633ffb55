"""The worker: a process that owns shards, tells the scheduler of them and does as it is assigned."""
