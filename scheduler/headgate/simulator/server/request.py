"""One HTTP request, and how its Accept headers are understood.

Source: libprocess, `http.cpp`; A.2 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request.  `path` and `query` are decoded, names of `headers` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    def accepts(self, media_type: str) -> bool:
        """Whether the client takes answers of this type.  Without an Accept header it takes all."""
        accept = self.headers.get("accept")
        main = media_type.partition("/")[0]
        return accept is None or _allows(accept, (media_type, f"{main}/*", "*/*"))

    @property
    def accepts_json_or_protobuf(self) -> bool:
        """Whether the client can be answered at all where it matters."""
        return self.accepts(JSON) or self.accepts(PROTOBUF)

    @property
    def wants_protobuf(self) -> bool:
        """Whether events and answers are to be binary: JSON is chosen wherever it is acceptable."""
        return not self.accepts(JSON) and self.accepts(PROTOBUF)

    def accepts_gzip(self) -> bool:
        """Whether the client takes compressed bodies.  Without an Accept-Encoding header it does not."""
        return _allows(self.headers.get("accept-encoding", ""), ("gzip", "*"))


def _allows(header: str, candidates: tuple[str, ...]) -> bool:
    """The first candidate that the header names decides: it is allowed unless its q is 0, or no number."""
    items = [item.split(";") for item in "".join(header.split()).split(",") if item.strip(";")]
    for candidate in candidates:
        for name, *parameters in items:
            if name.lower() == candidate:
                return _positive([text[2:] for text in parameters if text.startswith("q=")])
    return False


def _positive(weights: list[str]) -> bool:
    if len(weights) != 1:
        return True
    try:
        return float(weights[0]) > 0
    except ValueError:
        return False
