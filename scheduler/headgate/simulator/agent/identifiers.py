"""Fresh identifiers from the agent's own generator."""

from __future__ import annotations

import base64
from random import Random

from headgate.simulator.ports import uuid4_text


def container_id(randomness: Random) -> str:
    """A container id: a UUID as text."""
    return uuid4_text(randomness)


def update_uuid(randomness: Random) -> str:
    """The uuid of a status update: 16 bytes in base64, as v1 JSON carries it."""
    return base64.b64encode(bytes.fromhex(uuid4_text(randomness).replace("-", ""))).decode()
