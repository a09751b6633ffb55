"""All that one master knows, and the ways out of it: the place the other modules work on.

`now` is the time of the input that is being worked on.
"""

from __future__ import annotations

import base64
from collections import Counter, OrderedDict
from itertools import count
from random import Random

from headgate.simulator.master.agenda import Agenda
from headgate.simulator.master.allocator import Allocator
from headgate.simulator.master.records import MASTER_CAPABILITIES, Agent, Drain, Framework, InverseOffer, Offer
from headgate.simulator.master.settings import MasterSettings
from headgate.simulator.messages import Json, MasterOutput, SendToAgent, StreamEnd, StreamEvent, ToAgent
from headgate.simulator.ports import uuid4_text


class Ledger:
    """Tables by id, counters, the agenda, the allocator and the outbox."""

    def __init__(self, settings: MasterSettings, randomness: Random) -> None:
        self.settings = settings
        self.randomness = randomness
        self.now = self.started_at = 0.0
        self.master_id = uuid4_text(randomness)
        self.agenda = Agenda()
        self.allocator = Allocator(settings, randomness)
        self.outbox: list[MasterOutput] = []

        self.frameworks: dict[str, Framework] = {}
        self.completed: OrderedDict[str, Framework] = OrderedDict()
        self.streams: dict[str, str] = {}
        self.offers: dict[str, Offer] = {}
        self.inverse_offers: dict[str, InverseOffer] = {}

        self.agents: dict[str, Agent] = {}
        self.agents_by_address: dict[str, Agent] = {}
        self.recovered_agents: dict[str, Json] = {}
        self.unreachable: dict[str, float] = {}
        self.unreachable_infos: dict[str, Json] = {}
        self.unreachable_tasks: dict[str, list[tuple[str, str]]] = {}
        self.gone: dict[str, float] = {}
        self.draining: dict[str, Drain] = {}
        self.deactivated: set[str] = set()

        self.schedule: tuple[Json, ...] = ()
        self.machines_down: set[tuple[str, str]] = set()
        self.quota_roles: dict[str, Json] = {}
        self.consents: dict[str, dict[str, tuple[str, float]]] = {}

        self.watchers: list[str] = []
        self.counters: Counter[str] = Counter()
        self._framework_numbers = count()
        self._offer_numbers = count()
        self._agent_numbers = count()

    # --- ids -----------------------------------------------------------------------------------------------------

    def new_framework_id(self) -> str:
        """`<master>-0000` and so on."""
        return f"{self.master_id}-{next(self._framework_numbers):04d}"

    def new_offer_id(self) -> str:
        """`<master>-O0` and so on; inverse offers take from the same numbers."""
        return f"{self.master_id}-O{next(self._offer_numbers)}"

    def new_agent_id(self) -> str:
        """`<master>-S0` and so on."""
        return f"{self.master_id}-S{next(self._agent_numbers)}"

    def new_stream_id(self) -> str:
        """A random UUID in text form."""
        return uuid4_text(self.randomness)

    def new_uuid_bytes(self) -> str:
        """A random UUID as base64 of its 16 bytes."""
        return base64.b64encode(bytes.fromhex(uuid4_text(self.randomness).replace("-", ""))).decode()

    # --- ways out ------------------------------------------------------------------------------------------------

    def tell(self, framework: Framework, event: Json) -> None:
        """Write an event to a framework's stream; it is lost if the framework is not connected."""
        if framework.connected and framework.stream is not None:
            self.outbox.append(StreamEvent(stream=framework.stream, event=event))

    def end_stream(self, stream: str) -> None:
        """End a stream cleanly and forget whose it was."""
        self.streams.pop(stream, None)
        self.outbox.append(StreamEnd(stream=stream))

    def command(self, agent: Agent, message: ToAgent) -> None:
        """Send a message to an agent."""
        self.outbox.append(SendToAgent(address=agent.address, message=message))

    def watch(self, event: Json) -> None:
        """Tell the operators' event streams."""
        for stream in self.watchers:
            self.outbox.append(StreamEvent(stream=stream, event=event))

    # --- facts ---------------------------------------------------------------------------------------------------

    def master_info(self) -> Json:
        """The v1 MasterInfo."""
        settings = self.settings
        octets = [int(part) for part in settings.ip.split(".")]
        message: Json = {
            "id": self.master_id,
            "ip": sum(octet << (8 * place) for place, octet in enumerate(octets)),
            "port": settings.port,
            "pid": f"master@{settings.address}",
            "hostname": settings.hostname,
            "version": settings.version,
            "address": {"hostname": settings.hostname, "ip": settings.ip, "port": settings.port},
            "capabilities": [{"type": name} for name in MASTER_CAPABILITIES],
        }
        if settings.region is not None:
            message["domain"] = {"fault_domain": {"region": {"name": settings.region}, "zone": {"name": "zone-1"}}}
        return message


def nanoseconds(seconds: float) -> Json:
    """A TimeInfo or DurationInfo."""
    return {"nanoseconds": round(seconds * 1_000_000_000)}
