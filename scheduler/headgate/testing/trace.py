"""What happened, line by line: the last lines to read, and one digest of all of them to compare."""

from __future__ import annotations

from collections import Counter, deque
from hashlib import blake2b
from typing import Final

from headgate.testing.timeline import BEGIN, Timeline

KEPT_MAX: Final = 4000


class Trace:
    """Append-only.  Two runs are the same run exactly if their digests are equal."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._digest = blake2b(digest_size=16)
        self._last: deque[str] = deque(maxlen=KEPT_MAX)
        self.counted: Counter[str] = Counter()

    def say(self, who: str, what: str) -> None:
        """Write a line; `who` is counted."""
        line = f"{self._timeline.now() - BEGIN:9.3f} {who:<9} {what}"
        self._digest.update(line.encode())
        self._last.append(line)
        self.counted[who] += 1

    @property
    def digest(self) -> str:
        """Of all lines so far, as hexadecimal text."""
        return self._digest.hexdigest()

    def last(self, lines: int) -> list[str]:
        """The newest lines, oldest first."""
        return list(self._last)[-lines:] if lines else []
