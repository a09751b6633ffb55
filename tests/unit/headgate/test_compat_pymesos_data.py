"""Messages whose items are attributes too."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.compat.pymesos import Dict, decode_data, encode_data

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_a_message_stays_what_it_is(message: dict[str, object]) -> None:
    """Equal to the plain dict, the same as JSON, and back again."""
    attributed = Dict(message)
    assert attributed == message
    assert json.loads(json.dumps(attributed)) == json.loads(json.dumps(message))
    plain = attributed.to_dict()
    assert plain == message
    assert type(plain) is dict
    assert pickle.loads(pickle.dumps(attributed)) == message
    assert copy.deepcopy(attributed) == message


def test_items_are_attributes_at_every_level() -> None:
    offer = Dict({"id": {"value": "O1"}, "resources": [{"name": "cpus", "scalar": {"value": 2.0}}]})
    assert offer.id.value == "O1"
    assert [each.scalar.value for each in offer.resources] == [2.0]
    offer.id = {"value": "O2"}
    assert offer["id"].value == "O2"
    del offer.id
    assert "id" not in offer


def test_levels_are_made_when_something_is_put_in() -> None:
    """And only then: to look at what is missing changes nothing."""
    task = Dict()
    assert not task.container.type
    assert task == {}
    task.container.mesos.image.docker.name = "busybox"
    task.resources = [{"name": "cpus"}]
    task.setdefault("labels", {}).labels = []
    assert task == {
        "container": {"mesos": {"image": {"docker": {"name": "busybox"}}}},
        "resources": [{"name": "cpus"}],
        "labels": {"labels": []},
    }
    assert isinstance(task.copy(), Dict)


def test_what_python_looks_for_is_not_there() -> None:
    with pytest.raises(AttributeError):
        _ = Dict().__wrapped__


@given(st.binary())
def test_data(data: bytes) -> None:
    """Bytes there and back, in one line."""
    text = encode_data(data)
    assert "\n" not in text
    assert decode_data(text) == data
