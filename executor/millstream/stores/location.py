"""From the text a job file says to the store it means."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from millstream.errors import ProgramError
from millstream.stores.directory import DirectoryStore
from millstream.stores.object_store import ObjectStore


def open_store(location: str, job: str) -> ObjectStore:
    """The store of one job below `location`: an absolute path, or a `file:///` URL.

    Raises:
        ProgramError: the location is of a kind that is not supported.
    """
    parts = urlsplit(location)
    if parts.scheme == "" and Path(location).is_absolute():
        return DirectoryStore(Path(location) / object_part(job))
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and Path(unquote(parts.path)).is_absolute():
        return DirectoryStore(Path(unquote(parts.path)) / object_part(job))
    raise ProgramError(f"a checkpoint store is an absolute path or a file:/// URL, not {location!r}")


def object_part(text: str) -> str:
    """Any text as one part of an object name, different for different texts, readable for plain ones."""
    quoted = quote(text, safe="-_.").replace("~", "%7E")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted
