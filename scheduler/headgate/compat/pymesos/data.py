"""Mesos's JSON in Python: plain dicts, or dicts whose items are attributes too."""

from __future__ import annotations

import base64
from typing import Any, ClassVar, TypeAlias

Json: TypeAlias = "dict[str, Any]"


class Dict(dict[str, Any]):
    """A dict whose items can be read and set as attributes; dicts within, also those in lists, become the same.

    What is missing reads as an empty `Dict` that joins the outer one once something is set in it, so that
    `task.container.type = 'MESOS'` makes both levels.
    """

    _outer: ClassVar[tuple[Dict, str] | None] = None
    """Of one that is not in its place yet: the place."""

    def __init__(self, *given: Any, **items: Any) -> None:
        super().__init__()
        self.update(*given, **items)

    def update(self, *given: Any, **items: Any) -> None:
        """As `dict.update`."""
        for name, value in dict(*given, **items).items():
            self[name] = value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """As `dict.setdefault`."""
        if name not in self:
            self[name] = default
        return self[name]

    def copy(self) -> Dict:
        """A copy; what is within is shared."""
        return Dict(self)

    def to_dict(self) -> Json:
        """The same in plain dicts."""
        return {name: _plain(value) for name, value in self.items()}

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, _attributed(value))
        if self._outer is not None:
            place, key = self._outer
            object.__delattr__(self, "_outer")
            place[key] = self

    def __missing__(self, name: str) -> Dict:
        made = Dict()
        object.__setattr__(made, "_outer", (self, name))
        return made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # What Python itself looks for is not in any message.
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


def encode_data(data: bytes) -> str:
    """Bytes as the API's JSON has them."""
    return base64.b64encode(data).decode("ascii")


def decode_data(data: str) -> bytes:
    """The bytes that the API's JSON means."""
    return base64.b64decode(data)


def _attributed(value: Any) -> Any:
    if isinstance(value, Dict):
        return value
    if isinstance(value, dict):
        return Dict(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_attributed(each) for each in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Dict):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(each) for each in value)
    return value
