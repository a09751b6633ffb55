"""What a check of the surroundings has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a check went; UNKNOWN is what cannot be seen from here."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Check(Enum):
    """What is looked at, in this order."""

    ZOOKEEPER = "zookeeper"
    LOGIN = "login"
    MASTER = "master"
    CERTIFICATE = "certificate"
    CLOCK = "clock"
    SECRET = "secret"
    PRINCIPAL = "principal"
    ROLE = "role"
    USER = "user"
    FRAMEWORK = "framework"
    VERSION = "version"
    AGENTS = "agents"
    STORE = "store"
    WORKERS = "workers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report: what is so, and if it is wrong, what to do about it."""

    check: Check
    verdict: Verdict
    text: str
    mend: str | None = None


def found(check: Check, text: str) -> Finding:
    """All is well with it."""
    return Finding(check=check, verdict=Verdict.OK, text=text)


def failed(check: Check, text: str, mend: str) -> Finding:
    """Something is wrong."""
    return Finding(check=check, verdict=Verdict.FAILED, text=text, mend=mend)


def unknown(check: Check, text: str, mend: str | None = None) -> Finding:
    """It cannot be seen from here."""
    return Finding(check=check, verdict=Verdict.UNKNOWN, text=text, mend=mend)
