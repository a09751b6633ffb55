"""What is refused before a call reaches the master or an agent, in the order of Mesos's checks.

Rows 1 to 12 of A.2, 2 to 4 of D.1 of the protocol notes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headgate.simulator.messages import Json, Reply
from headgate.simulator.schema import Api, read_call
from headgate.simulator.schema.requests import read_binary_call
from headgate.simulator.server.request import JSON, PROTOBUF, Request

TOKEN = "token="
"""How DC/OS's scheme begins; other schemes have a blank there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """Who is let in: the principals and their secrets (HTTP Basic), and which realms ask who one is.

    With `tokens` it is as in a DC/OS cluster: `Authorization: token=…` proves who one is, too, and this function tells
    whom a token belongs to (None: it is worth nothing).
    """

    secrets: Mapping[str, str] = field(default_factory=dict)
    tokens: Callable[[str], str | None] | None = field(default=None, repr=False)
    frameworks: bool = False
    readonly: bool = False
    readwrite: bool = False

    def refusal(self, request: Request, realm: str, *, needed: bool) -> Reply | None:
        """The 401, if this request must be and is not authenticated (row 1)."""
        if not needed or self.principal(request) is not None:
            return None
        headers = {"WWW-Authenticate": f'Basic realm="{realm}"' if self.tokens is None else "acsjwt"}
        return Reply(status=401, body="401 Unauthorized.", headers=headers)

    def principal(self, request: Request) -> str | None:
        """Who makes the request, as far as the secret, or the token, proves it."""
        given = request.headers.get("authorization", "")
        if self.tokens is not None and given.startswith(TOKEN):
            return self.tokens(given.removeprefix(TOKEN))
        scheme, _, credentials = given.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, secret = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return name if name in self.secrets and self.secrets[name] == secret else None


NEEDS_ACCEPT = {
    Api.SCHEDULER: frozenset({"SUBSCRIBE", "RECONCILE_OPERATIONS"}),
    Api.EXECUTOR: frozenset({"SUBSCRIBE"}),
    Api.OPERATOR: None,
    Api.AGENT: None,
}
"""Calls whose Accept header is looked at; None: all."""


def read_request(request: Request, api: Api, *, principal: str | None = None) -> Json | Reply:
    """The call in normal form, or what it is refused with."""
    if refused := method_refusal(request, "POST"):
        return refused
    content_type = request.headers.get("content-type")
    if content_type is None:
        return Reply(status=400, body="Expecting 'Content-Type' to be present")
    if content_type not in (JSON, PROTOBUF):
        return Reply(status=415, body=f"Expecting 'Content-Type' of {JSON} or {PROTOBUF}")
    reader = read_call if content_type == JSON else read_binary_call
    call = reader(api, request.body, principal=principal)
    if isinstance(call, Reply):
        return call
    watched = NEEDS_ACCEPT[api]
    if (watched is None or call["type"] in watched) and not request.accepts_json_or_protobuf:
        return Reply(status=406, body=f"Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'")
    return call


def method_refusal(request: Request, *allowed: str) -> Reply | None:
    """The 405 for any other method."""
    if request.method in allowed:
        return None
    listed = ", ".join(f"'{method}'" for method in allowed)
    text = f"405 Method Not Allowed. Expecting one of {{ {listed} }}, but received '{request.method}'."
    return Reply(status=405, body=text, headers={"Allow": ", ".join(allowed)})
