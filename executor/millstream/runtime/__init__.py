"""One shard of a program, run: read, process, keep state, checkpoint.  Knows no worker, no thread and no clock."""
