"""Which ids of tasks, executors, frameworks and volumes are allowed."""

from __future__ import annotations

MAX_LENGTH = 255


def problem(identifier: str) -> str | None:
    """What is wrong with an id, in Mesos's words; None if nothing is."""
    if not identifier:
        return "ID must not be empty"
    if len(identifier.encode()) > MAX_LENGTH:
        return f"ID must not be greater than {MAX_LENGTH} characters"
    if identifier in (".", ".."):
        return f"'{identifier}' is disallowed"
    if any(character in "/\\\x7f" or ord(character) < 0x20 for character in identifier):
        return f"'{identifier}' contains invalid characters"
    return None
