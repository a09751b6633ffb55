"""Mesos resource arithmetic on v1 JSON: amounts, identity, pools, text forms, validation, conversions.

`Resources` is the workhorse: `Resources.of(json)`, `+`, `-`, `contains`, `json()`, `text()`.  `parse` reads an
agent's `--resources`; `first_problem` judges what a client sent; `conversions` and `apply` carry out RESERVE and
its like.
"""

from headgate.simulator.resources.conversion import (
    CONVERTING,
    Conversion,
    Refused,
    apply,
    conversions,
    popped,
    with_remembered,
)
from headgate.simulator.resources.kind import Disk, Form, Kind, Reservation, describe, kind_and_amount, stacked
from headgate.simulator.resources.parsing import parse, parse_attributes
from headgate.simulator.resources.pool import EMPTY, Resources
from headgate.simulator.resources.validation import first_problem, problem
from headgate.simulator.resources.values import Amount, Items, Ranges, Thousandths, number, number_text, thousandths

__all__ = [
    "CONVERTING",
    "EMPTY",
    "Amount",
    "Conversion",
    "Disk",
    "Form",
    "Items",
    "Kind",
    "Ranges",
    "Refused",
    "Reservation",
    "Resources",
    "Thousandths",
    "apply",
    "conversions",
    "describe",
    "first_problem",
    "kind_and_amount",
    "number",
    "number_text",
    "parse",
    "parse_attributes",
    "popped",
    "problem",
    "stacked",
    "thousandths",
    "with_remembered",
]
