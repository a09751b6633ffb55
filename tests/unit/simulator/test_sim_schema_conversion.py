"""Input as Mesos takes it: every leniency, every refusal with its exact text."""

import base64
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.simulator.schema import Unconvertible, convert
from headgate.simulator.schema.notation import Scalar
from headgate.simulator.schema.registry import ENUMS, MESSAGES

INFO = {"user": "u", "name": "n"}


def info(**fields: object) -> dict[str, object]:
    """A SUBSCRIBE whose FrameworkInfo has more fields."""
    return {"type": "SUBSCRIBE", "subscribe": {"framework_info": {**INFO, **fields}}}


def converted(**fields: object) -> dict[str, object]:
    """What becomes of those fields."""
    found = convert("scheduler.Call", info(**fields))["subscribe"]["framework_info"]
    return {name: value for name, value in found.items() if name not in INFO}


@pytest.mark.parametrize(
    ("given_fields", "expected"),
    [
        pytest.param({"no_such_field": {"a": 1}}, {}, id="unknown field"),
        pytest.param({"webui_url": None}, {}, id="null is absent"),
        pytest.param(
            {"labels": {"labels": {"key": "k", "value": "v"}}},
            {"labels": {"labels": [{"key": "k", "value": "v"}]}},
            id="bare message for a list",
        ),
        pytest.param({"roles": "web"}, {"roles": ["web"]}, id="bare text for a list"),
        pytest.param(
            {"roles": [["a", ["b"]], None, "c"]}, {"roles": ["a", "b", "c"]}, id="lists in lists, nulls between"
        ),
        pytest.param({"roles": []}, {}, id="empty list"),
        pytest.param({"roles": [None]}, {}, id="list of null"),
        pytest.param({"offer_filters": {}}, {}, id="empty map"),
        pytest.param({"labels": {}}, {"labels": {}}, id="empty message is there"),
        pytest.param({"failover_timeout": "600"}, {"failover_timeout": 600.0}, id="double as text"),
        pytest.param({"failover_timeout": " 6e2 "}, {"failover_timeout": 600.0}, id="double as text with blanks"),
        pytest.param({"failover_timeout": "Infinity"}, {"failover_timeout": math.inf}, id="infinity"),
        pytest.param({"failover_timeout": "-Infinity"}, {"failover_timeout": -math.inf}, id="minus infinity"),
        pytest.param({"failover_timeout": 7}, {"failover_timeout": 7.0}, id="integer for a double"),
        pytest.param({"checkpoint": "false"}, {"checkpoint": False}, id="boolean as text"),
        pytest.param({"checkpoint": "true"}, {"checkpoint": True}, id="true as text"),
        pytest.param(
            {"capabilities": [{"type": "TIME_TRAVEL"}, {"type": "MULTI_ROLE"}]},
            {"capabilities": [{}, {"type": "MULTI_ROLE"}]},
            id="unknown optional enum",
        ),
        pytest.param({"hostname": "\ud800x"}, {"hostname": "?x"}, id="half a surrogate pair"),
        pytest.param(
            {
                "offer_filters": {
                    "web": {"min_allocatable_resources": {"quantities": {"quantities": {"cpus": {"value": "1"}}}}}
                }
            },
            {
                "offer_filters": {
                    "web": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": 1.0}}}]}}
                }
            },
            id="map",
        ),
    ],
)
def test_leniency(given_fields: dict[str, object], expected: dict[str, object]) -> None:
    """What Mesos forgives comes out in one form."""
    found = converted(**given_fields)
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), ("3", 3), (3.9, 3), ("3.9", 3), (-1, 2**64 - 1), (2**64 + 5, 5), (-2.5, 0), (1e30, 2**64 - 1)],
)
def test_integers(value: object, expected: int) -> None:
    """Fractions are cut off, what does not fit wraps (or stops at the edge, for floats)."""
    found = convert("Value.Range", {"begin": value, "end": 0})["begin"]
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize(
    ("text", "raw"),
    [("aGk=", b"hi"), ("aGk", b"hi"), ("aG k\n=", b"hi"), ("", b""), ("aGk=!!", b"hi"), ("aGkaa", b"hi\x1a")],
)
def test_base64_is_read_as_leniently(text: str, raw: bytes) -> None:
    """Blanks and bad padding pass; the result is canonical."""
    assert convert("executor.Call.Message", {"data": text}) == {"data": base64.b64encode(raw).decode()}


MISSING = "Missing required fields: "


@pytest.mark.parametrize(
    ("message", "value", "text"),
    [
        ("scheduler.Call", [], "Expecting a JSON object"),
        ("scheduler.Call", "text", "Expecting a JSON object"),
        ("scheduler.Call", None, "Expecting a JSON object"),
        ("scheduler.Call", 7, "Expecting a JSON object"),
        ("scheduler.Call", {"type": 3}, "Not expecting a JSON number for field 'type'"),
        ("scheduler.Call", {"type": True}, "Not expecting a JSON boolean for field 'type'"),
        ("scheduler.Call", {"type": {}}, "Not expecting a JSON object for field 'type'"),
        ("scheduler.Call", {"type": []}, "Not expecting a JSON array for field 'type'"),
        ("scheduler.Call", {"framework_id": "x"}, "Not expecting a JSON string for field 'framework_id'"),
        ("scheduler.Call", {"decline": {"offer_ids": 3}}, "Not expecting a JSON number for field 'offer_ids'"),
        ("FrameworkInfo", {"user": 3}, "Not expecting a JSON number for field 'user'"),
        ("FrameworkInfo", {"user": False}, "Not expecting a JSON boolean for field 'user'"),
        ("FrameworkInfo", {"user": {}}, "Not expecting a JSON object for field 'user'"),
        ("FrameworkInfo", {"checkpoint": 1}, "Not expecting a JSON number for field 'checkpoint'"),
        (
            "FrameworkInfo",
            {"checkpoint": "no"},
            "Failed to parse 'no' as a JSON boolean for field 'checkpoint': syntax error",
        ),
        ("FrameworkInfo", {"offer_filters": "x"}, "Not expecting a JSON string for field 'offer_filters'"),
        ("FrameworkInfo", {"offer_filters": {"web": 3}}, "Not expecting a JSON number for field 'value'"),
        (
            "Filters",
            {"refuse_seconds": "soon"},
            "Failed to parse 'soon' as a JSON number for field 'refuse_seconds': syntax error",
        ),
        (
            "Filters",
            {"refuse_seconds": "NaN"},
            "Failed to parse 'NaN' as a JSON number for field 'refuse_seconds': syntax error",
        ),
        (
            "Filters",
            {"refuse_seconds": "true"},
            "Failed to parse 'true' as a JSON number for field 'refuse_seconds': syntax error",
        ),
        ("Filters", {"refuse_seconds": True}, "Not expecting a JSON boolean for field 'refuse_seconds'"),
        ("executor.Call.Message", {"data": "?"}, "Failed to base64 decode bytes field 'data': Invalid character '?'"),
        (
            "executor.Call.Message",
            {"data": "6f1c-"},
            "Failed to base64 decode bytes field 'data': Invalid character '-'",
        ),
        ("executor.Call.Message", {"data": 3}, "Not expecting a JSON number for field 'data'"),
        ("TaskStatus", {"task_id": {"value": "t"}, "state": "TASK_DANCING"}, "Failed to find enum for 'TASK_DANCING'"),
        ("FrameworkInfo", {}, MISSING + "user, name"),
        ("scheduler.Call", {"subscribe": {}}, MISSING + "subscribe.framework_info"),
        (
            "scheduler.Call",
            {"framework_id": {}, "message": {}},
            MISSING + "framework_id.value, message.agent_id, message.executor_id, message.data",
        ),
        (
            "scheduler.Call",
            {"accept": {"operations": [{}, {"launch": {"task_infos": [{"resources": {}}]}}]}},
            MISSING
            + ", ".join(
                "accept.operations[1].launch.task_infos[0]." + name
                for name in ("name", "task_id", "agent_id", "resources[0].name", "resources[0].type")
            ),
        ),
        (
            "TaskInfo",
            {
                "name": "t",
                "task_id": {"value": "t"},
                "agent_id": {"value": "a"},
                "limits": {"cpus": {"value": 1}, "mem": {}},
            },
            MISSING + "limits[1].value.value",
        ),
        # the first fault in the order of the fields' names, before anything that is missing
        (
            "scheduler.Call",
            {"type": 3, "subscribe": {}, "framework_id": 4},
            "Not expecting a JSON number for field 'framework_id'",
        ),
    ],
)
def test_refusals(message: str, value: object, text: str) -> None:
    """The text of each refusal is Mesos's own."""
    with pytest.raises(Unconvertible) as caught:
        convert(message, value)
    assert str(caught.value) == text


def test_of_a_choice_the_last_by_name_stays() -> None:
    """Members of a oneof push each other out."""
    selector = {"pseudoattribute_type": "HOSTNAME", "attribute_name": "rack"}
    assert convert("scheduler.AttributeConstraint.Selector", selector) == {"pseudoattribute_type": "HOSTNAME"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "value",
                    "subscribe",
                    "framework_info",
                    "framework_id",
                    "accept",
                    "id",
                    "labels",
                    "limits",
                    "operations",
                    "launch",
                    "task_infos",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=JSON)
def test_any_json_is_converted_or_refused_and_conversion_is_stable(value: object) -> None:
    """Garbage has one documented end, and what is converted converts to itself."""
    try:
        once = convert("scheduler.Call", value)
    except Unconvertible:
        return
    assert (
        convert("scheduler.Call", json.loads(json.dumps(once).replace("Infinity", '"Infinity"').replace('-"', '"-')))
        == once
    )


def test_the_tables_hang_together() -> None:
    """Numbers are unique in a message, defaults fit their kinds, and nothing refers to nothing."""
    for message in MESSAGES.values():
        numbers = [field.number for field in message.fields.values()]
        assert len(set(numbers)) == len(numbers), message.name
        for field in message.fields.values():
            assert isinstance(field.kind, Scalar) or field.kind in MESSAGES or field.kind in ENUMS
            if field.default is not None and isinstance(field.kind, str):
                assert field.default in ENUMS[field.kind].values
