"""Look into a job's checkpoints, without the job: what it remembers, and which records it could not process.

```python
from millstream import state

state.checkpoints("/data/checkpoints", "delays")            # one row per checkpoint that is kept
state.read("/data/checkpoints", "delays")                   # windows, or what is kept by key, of all shards
state.read("/data/checkpoints", "delays", role="timers", shard="0007", checkpoint=42)
state.dead_letters("/data/checkpoints", "delays", reason="no event time")
state.replay("/data/checkpoints", "delays", "/data/again", reason="no event time")
```

The store is what the job file says in `checkpoint.store`; a path may be relative.  All but `replay`, which makes a
folder of its own, only read; they may run while the job does.  `python -m millstream.state` prints the same as JSON
lines.
"""

from __future__ import annotations

from millstream.state.letters import Replayed, ReplayRefused, dead_letters, replay
from millstream.state.reading import StateNotFound, checkpoints, read

__all__ = ["ReplayRefused", "Replayed", "StateNotFound", "checkpoints", "dead_letters", "read", "replay"]
