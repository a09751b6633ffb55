"""Answers as they look on the wire.

Source: A.2 (notes below the table), F of the protocol notes.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from headgate.simulator.messages import Reply
from headgate.simulator.server.request import JSON, Request

GZIP_BYTES_MIN = 1024
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Status, headers and body of an answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def json_bytes(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def date_header(at: float) -> tuple[str, str]:
    """The Date of every answer."""
    return "Date", formatdate(at, usegmt=True)


def written(reply: Reply, request: Request, *, at: float) -> Wire:
    """A reply's bytes.  `at` is the time of day in seconds, for the Date header."""
    headers = [date_header(at), *reply.headers.items()]
    if isinstance(reply.body, str):
        body, content_type = reply.body.encode(), TEXT
    else:
        body, content_type = json_bytes(reply.body), JSON
        if function := request.query.get("jsonp"):
            body, content_type = b"%b(%b);" % (function.encode(), body), "text/javascript"
    if (body or reply.status >= 400) and "Content-Type" not in reply.headers:
        headers.append(("Content-Type", content_type))
    if len(body) >= GZIP_BYTES_MIN and request.accepts_gzip():
        body = gzip.compress(body, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    headers.append(("Content-Length", str(len(body))))
    return Wire(status=reply.status, headers=tuple(headers), body=body)
