"""How fast a large cluster's offers are read."""

from __future__ import annotations

import json
from pathlib import Path

from figure import Figure, Measurement, best

from headgate.adapters.mesos_codec_events import EventDecoder
from millstream.contract.recordio import Decoder, encode

OFFERS = 10_000


def offer_decoding(_: Path, rounds: int) -> Figure:
    """An OFFERS event of 10,000 offers, from bytes to model, against `json.loads` of the same bytes."""
    record = offers_event()
    decoder_of_frames = Decoder()
    (framed,) = decoder_of_frames.feed(encode(record))

    def ours() -> None:
        found = EventDecoder().decode(framed, received_at=0.0, role="web")
        assert len(found.events) == 1

    def theirs() -> None:
        json.loads(record)

    mine, other = best(rounds, ours, theirs)
    return Figure(value=len(record) / mine / 1e6, unit="MB/s", against="json.loads alone", ratio=other / mine)


def offers_event() -> bytes:
    """An OFFERS event as a master sends it to a framework with roles."""
    role = {"role": "web"}
    offers = [
        {
            "id": {"value": f"7d1f6a2c-0000-4000-8000-000000000000-O{number}"},
            "framework_id": {"value": "7d1f6a2c-0000-4000-8000-000000000000-0000"},
            "agent_id": {"value": f"7d1f6a2c-0000-4000-8000-000000000000-S{number}"},
            "hostname": f"agent-{number}.example",
            "url": {
                "scheme": "http",
                "address": {"hostname": f"agent-{number}.example", "ip": "10.0.0.1", "port": 5051},
                "path": "/slave(1)",
            },
            "resources": [
                {"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": role}
                for name, value in (("cpus", 8.0), ("mem", 15000.5), ("disk", 100000.0))
            ]
            + [
                {
                    "name": "ports",
                    "type": "RANGES",
                    "ranges": {"range": [{"begin": 31000, "end": 31500 + number % 400}]},
                    "allocation_info": role,
                }
            ],
            "attributes": [{"name": "rack", "type": "TEXT", "text": {"value": f"r{number % 40}"}}],
            "allocation_info": role,
        }
        for number in range(OFFERS)
    ]
    return json.dumps({"type": "OFFERS", "offers": {"offers": offers}}, separators=(",", ":")).encode()


FIGURES: dict[str, Measurement] = {"offer decoding": offer_decoding}
