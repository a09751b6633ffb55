"""The binary form: known bytes, round trips, leniency and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.simulator.messages import Reply
from headgate.simulator.schema import Api, Unconvertible, convert
from headgate.simulator.schema.notation import Label, Scalar
from headgate.simulator.schema.protobuf import decode, encode
from headgate.simulator.schema.registry import ENUMS, MESSAGES
from headgate.simulator.schema.requests import read_binary_call


@pytest.mark.parametrize(
    ("message", "value", "data"),
    [
        ("FrameworkID", {"value": "f"}, b"\x0a\x01f"),
        ("Value.Scalar", {"value": 1.5}, b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f"),
        ("CommandInfo", {"shell": False, "arguments": ["a", "é"]}, b"\x30\x00\x3a\x01a\x3a\x02\xc3\xa9"),
        ("scheduler.Event.Failure", {"status": -1}, b"\x18" + b"\xff" * 9 + b"\x01"),
        ("scheduler.Call", {"type": "TEARDOWN", "framework_id": {"value": "f"}}, b"\x0a\x03\x0a\x01f\x10\x02"),
        ("executor.Call.Message", {"data": "aGk="}, b"\x12\x02hi"),
        ("Value.Range", {"begin": 300, "end": 0}, b"\x08\xac\x02\x10\x00"),
        (
            "OfferFilters.ResourceQuantities",
            {"quantities": {"cpus": {"value": 0.0}}},
            b"\x0a\x11\x0a\x04cpus\x12\x09\x09" + b"\x00" * 8,
        ),
    ],
)
def test_known_bytes(message: str, value: dict[str, object], data: bytes) -> None:
    """The wire format is the one that everybody else writes."""
    assert encode(message, value) == data
    assert decode(message, data) == value


def values(name: str, depth: int = 0) -> st.SearchStrategy[dict[str, object]]:
    """Messages with all required and some other fields, not too deep."""
    required: dict[str, st.SearchStrategy[object]] = {}
    optional: dict[str, st.SearchStrategy[object]] = {}
    for field in MESSAGES[name].fields.values():
        inner = isinstance(field.kind, str) and field.kind in MESSAGES
        if inner and depth > 2 and field.label is not Label.REQUIRED:
            continue
        one = values(str(field.kind), depth + 1) if inner else plain(field.kind)
        if field.label is Label.REPEATED:
            optional[field.name] = st.lists(one, min_size=1, max_size=2)
        elif field.label is Label.MAP:
            optional[field.name] = st.dictionaries(st.text(max_size=3), one, min_size=1, max_size=2)
        elif field.label is Label.REQUIRED:
            required[field.name] = one
        elif not field.one_of or field.name == field.one_of[0]:
            optional[field.name] = one
    return st.fixed_dictionaries(required, optional=optional)


def plain(kind: Scalar | str) -> st.SearchStrategy[object]:
    """Values that are no messages."""
    if isinstance(kind, str):
        return st.sampled_from(list(ENUMS[kind].values))
    return {
        Scalar.STRING: st.text(max_size=5),
        Scalar.BYTES: st.sampled_from(["", "aGk=", "AAAA"]),
        Scalar.BOOL: st.booleans(),
        Scalar.DOUBLE: st.floats(allow_nan=False),
        Scalar.INT32: st.integers(-(2**31), 2**31 - 1),
        Scalar.INT64: st.integers(-(2**63), 2**63 - 1),
        Scalar.UINT32: st.integers(0, 2**32 - 1),
        Scalar.UINT64: st.integers(0, 2**64 - 1),
    }[kind]


@pytest.mark.parametrize("name", ["TaskStatus", "Resource", "CommandInfo", "scheduler.Call.Subscribe", "Offer"])
def test_round_trip(name: str) -> None:
    """What is written is read again, whatever it is."""

    @given(value=values(name))
    def check(value: dict[str, object]) -> None:
        assert decode(name, encode(name, value)) == value == convert(name, value)

    check()


@given(data=st.binary(max_size=60))
def test_garbage_is_refused_or_read(data: bytes) -> None:
    """Random bytes have one documented end; what is read can be written and read again."""
    try:
        call = decode("scheduler.Call", data)
    except Unconvertible:
        return
    assert decode("scheduler.Call", encode("scheduler.Call", call)) == call


@pytest.mark.parametrize(
    ("message", "data", "value"),
    [
        ("FrameworkID", b"\x0a\x01f\x98\x06\x07\xa2\x06\x02xx", {"value": "f"}),  # unknown fields
        ("FrameworkID", b"\x0a\x01f\x0a\x01g", {"value": "g"}),  # the last counts
        ("scheduler.Call", b"\x10\x63", {}),  # unknown enum value
        (
            "HealthCheck.HTTPCheckInfo",
            b"\x08\x07\x22\x02\x01\x02\x20\x03",
            {"port": 7, "statuses": [1, 2, 3]},
        ),  # packed
        ("scheduler.AttributeConstraint.Selector", b"\x12\x01a\x08\x01", {"pseudoattribute_type": "HOSTNAME"}),
    ],
)
def test_leniency(message: str, data: bytes, value: dict[str, object]) -> None:
    """What readers of protobuf have to accept."""
    assert decode(message, data) == value


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"x", "Failed to parse body into Call protobuf"),
        (b"\x0a\x05f", "Failed to parse body into Call protobuf"),
        (b"\x0a\x00\x10\x02", "Failed to parse body into Call protobuf"),  # framework_id without its value
        (b"\x10\x02", "Failed to validate scheduler::Call: Expecting 'framework_id' to be present"),
        (b"", "Failed to validate scheduler::Call: Expecting 'type' to be present"),
    ],
)
def test_refused_bodies(data: bytes, text: str) -> None:
    """Binary calls pass the same checks."""
    assert read_binary_call(Api.SCHEDULER, data) == Reply(status=400, body=text)
