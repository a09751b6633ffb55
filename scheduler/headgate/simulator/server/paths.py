"""Which endpoint a URL means.

Every endpoint has two paths, with and without the name of the process that serves it; unknown deeper paths mean the
longest known one above them; a trailing slash means nothing.  Source: libprocess, `process.cpp`; A.1 of the protocol
notes.
"""

from __future__ import annotations

from collections.abc import Iterator


def candidates(path: str, process: str) -> Iterator[str]:
    """The endpoints to look for, longest first, as `/name/…` without the process's name."""
    parts = [part for part in path.split("/") if part]
    if parts and parts[0] == process:
        del parts[0]
    for count in range(len(parts), 0, -1):
        yield "/" + "/".join(parts[:count])


def delegated(path: str, process: str) -> str:
    """The path as the process itself sees it, which is how it appears in redirects."""
    return path if path.split("/")[1:2] == [process] else f"/{process}{path}"
