"""How fast a large cluster's offers are read."""

from __future__ import annotations

import json
from pathlib import Path

import pymesos.process
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


class _Network:
    """A socket whose bytes have all arrived."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def recv(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        self._at += len(found)
        return found


class _Body:
    """A parser of HTTP that finds nothing but body, at no cost: pymesos's own is not what is measured."""

    def __init__(self) -> None:
        self._last = b""

    def execute(self, data: bytes, size: int) -> int:
        self._last = data
        return size

    def recv_body(self) -> bytes:
        return self._last

    def is_partial_body(self) -> bool:
        return True

    def is_message_complete(self) -> bool:
        return False


class _Offered(pymesos.Scheduler):
    """A pymesos framework that takes note of offers."""

    def __init__(self) -> None:
        self.count = 0

    def resourceOffers(self, driver: object, offers: list[object]) -> None:  # noqa: N802 (theirs)
        self.count += len(offers)


def offers_against_pymesos(_: Path, rounds: int) -> Figure:
    """A stream with an OFFERS event of 10,000 offers, from the bytes of the body to what the framework is told.

    Both read until the event is delivered: we in pieces of 64 KiB into our model, pymesos as its connection does.
    """
    stream = encode(offers_event())
    pieces = [stream[at : at + 65536] for at in range(0, len(stream), 65536)]

    def ours() -> None:
        records, events = Decoder(), EventDecoder()
        found = [
            events.decode(record, received_at=0.0, role="web") for piece in pieces for record in records.feed(piece)
        ]
        assert len(found[0].events) == 1

    def theirs() -> None:
        framework = _Offered()
        driver = pymesos.MesosSchedulerDriver(framework, {}, "127.0.0.1:5050")
        driver.version, driver._started = "1.12.0", True
        connection = pymesos.process.Connection.__new__(pymesos.process.Connection)
        connection._sock, connection._parser, connection._callback = _Network(stream), _Body(), driver
        connection._response, connection._stream_id = b"", "s"
        while framework.count < OFFERS:
            assert connection.read()

    mine, other = best(rounds, ours, theirs)
    return Figure(value=len(stream) / mine / 1e6, unit="MB/s", against="pymesos", ratio=other / mine)


FIGURES: dict[str, Measurement] = {"offer decoding": offer_decoding, "offers from a stream": offers_against_pymesos}
