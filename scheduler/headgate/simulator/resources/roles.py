"""Role names: which are valid, and how they nest (`eng/web` is below `eng`)."""

from __future__ import annotations

DEFAULT = "*"
_INVALID_CHARACTERS = frozenset("\t\n\v\f\r \x7f")


def problem(role: str) -> str | None:
    """What is wrong with a role name, in Mesos's words; None if nothing is."""
    if role == DEFAULT:
        return None
    if role.startswith("/"):
        return f"Role '{role}' cannot start with a slash"
    if role.endswith("/"):
        return f"Role '{role}' cannot end with a slash"
    if "//" in role:
        return f"Role '{role}' cannot contain two adjacent slashes"
    if not role:
        return "Role names cannot be the empty string"
    for component in role.split("/"):
        if component in (".", "..", "*"):
            return f"Role '{role}' cannot include '{component}' as a component"
        if component.startswith("-"):
            return f"Role component '{component}' is invalid because it starts with a dash"
        if not _INVALID_CHARACTERS.isdisjoint(component):
            return f"Role component '{component}' is invalid because it contains backspace or whitespace"
    return None


def is_strict_subrole(role: str, ancestor: str) -> bool:
    """Whether `role` lies below `ancestor`."""
    return role.startswith(ancestor + "/")


def covers(role: str, other: str) -> bool:
    """Whether `other` is `role` or lies below it."""
    return other == role or is_strict_subrole(other, role)


def ancestors(role: str) -> list[str]:
    """The roles above, nearest first."""
    parts = role.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
