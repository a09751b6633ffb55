"""The JSON Schema of job files says what the reader does: what one accepts the other accepts."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.job_file import job_schema, read_job
from headgate.model.job import JobSpec

SCHEMA = job_schema()
LEAST = {"name": "delays", "program": {"file": "delays.py"}}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 200_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "1GiB", "30s", "1h30m", "0.5MiB", "end", "mesos"]),
    st.sampled_from(["a/b.py", "../b", "*", "A_1", "/x", "x y"]),
    st.lists(st.sampled_from(["a", "*.py", "/etc", 3]), max_size=2),
    st.dictionaries(st.sampled_from(["A", "a-b", "x"]), st.sampled_from(["v", 1, True, 0.5]), max_size=2),
)  # fmt: skip


def allows(schema: dict[str, Any], value: Any) -> bool:
    """Whether a schema, made of the keywords that job schemas use, allows a value."""
    unknown = set(schema) - {
        "$schema", "title", "description", "default", "type", "pattern", "enum", "minimum", "maximum",
        "exclusiveMinimum", "properties", "required", "additionalProperties", "propertyNames", "items", "anyOf",
        "maxItems", "uniqueItems",
    }  # fmt: skip
    assert not unknown, unknown
    if "anyOf" in schema and not any(allows(each, value) for each in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(_is_a(each, value) for each in types):
            return False
    if isinstance(value, str):
        return "pattern" not in schema or re.search(schema["pattern"], value) is not None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (
            value >= schema.get("minimum", value)
            and value <= schema.get("maximum", value)
            and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        )
    if isinstance(value, list):
        unique = [each for at, each in enumerate(value) if each not in value[:at]]
        return (
            all(allows(schema.get("items", {}), each) for each in value)
            and len(value) <= schema.get("maxItems", len(value))
            and (not schema.get("uniqueItems") or len(unique) == len(value))
        )
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", {})
        return (
            all(name in value for name in schema.get("required", []))
            and all(allows(schema.get("propertyNames", {}), name) for name in value)
            and all(allows(properties[name], each) for name, each in value.items() if name in properties)
            and (more is not False or set(value) <= set(properties))
            and (more is False or all(allows(more, each) for name, each in value.items() if name not in properties))
        )
    return True


def _is_a(kind: str, value: Any) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    types = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
    return isinstance(value, types[kind])


def places(schema: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every field of every section."""
    found = []
    for name, shape in schema.get("properties", {}).items():
        found += [(*path, name), *places(shape, (*path, name))]
    return found


def with_value(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    document: dict[str, Any] = {**LEAST, "program": dict(LEAST["program"])}
    at = document
    for step in path[:-1]:
        at = at.setdefault(step, {})
    at[path[-1]] = value
    return document


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(places(SCHEMA)), VALUES)
def test_reader_and_schema_agree_on_every_field(path: tuple[str, ...], value: Any) -> None:
    document = with_value(path, value)
    read = read_job(document)
    if isinstance(read, JobSpec):
        assert allows(SCHEMA, document), document
    elif allows(SCHEMA, document):
        # What is left is what a schema cannot say: rules between fields, and a pattern's zero.
        assert all(any(word in str(each) for word in BEYOND_SCHEMA) for each in read), read


BEYOND_SCHEMA = (
    "is less than workers.min",
    "is not between workers.min",
    "without a container",
    "needs a",
    "is missing; write the image",
    "is too little for a worker",
    "is more than restart.backoff_max",
    "; raise max",
    "Mesos reserves nothing for *",
    "a worker with a volume",
    "what may be taken away",
)


def test_an_amount_of_zero_is_refused_in_words_too() -> None:
    for path, value in ((("worker", "mem"), "0MiB"), (("checkpoint", "interval"), "0s")):
        assert not isinstance(read_job(with_value(path, value)), JobSpec)


def test_the_schema_names_every_default() -> None:
    defaults = {path: _at(path).get("default") for path in places(SCHEMA)}
    assert defaults[("worker", "cpus")] == 1
    assert defaults[("worker", "mem")] == "1GiB"
    assert defaults[("checkpoint", "interval")] == "10s"
    assert defaults[("restart", "backoff_max")] == "5m"
    assert defaults[("delivery",)] == "exactly-once"
    assert defaults[("unreachable", "replace_after")] == "30s"
    assert defaults[("name",)] is None


def test_every_default_in_the_schema_is_the_readers() -> None:
    for path in places(SCHEMA):
        default = _at(path).get("default")
        if default is not None:
            assert read_job(with_value(path, default)) == read_job(LEAST), path


def test_every_field_is_described() -> None:
    assert [path for path in places(SCHEMA) if not _at(path).get("description")] == []


def test_a_full_example_is_allowed_and_a_strange_field_is_not() -> None:
    example = {**LEAST, "worker": {"mem": "2GiB"}, "placement": [{"attribute": "rack", "operator": "unique"}]}
    assert allows(SCHEMA, example)
    assert not allows(SCHEMA, {**example, "wrkers": 1})
    assert not allows(SCHEMA, {"name": "x"})


def _at(path: tuple[str, ...]) -> dict[str, Any]:
    shape = SCHEMA
    for step in path:
        shape = shape["properties"][step]
    return shape
