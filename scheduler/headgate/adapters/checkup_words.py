"""What masters and TLS say when something is wrong, and what is to be done about it.

Source of the masters' words: `Master::Http::scheduler` and `Master::validateFramework` of Mesos.
"""

from __future__ import annotations

from dataclasses import dataclass

from headgate.model.finding import Check


@dataclass(frozen=True, slots=True)
class Meaning:
    """A fault: what is wrong, in whose words, and how to mend it."""

    check: Check
    text: str
    mend: str


_SILENCES: tuple[tuple[str, Check, str], ...] = (
    ("certificate has expired", Check.CERTIFICATE, "the certificate is over: renew it (or is our clock wrong?)"),
    ("not yet valid", Check.CERTIFICATE, "the certificate begins in the future: compare the clocks"),
    (
        "mismatch",
        Check.CERTIFICATE,
        "the certificate is for another name: use one of its names as the address, or issue it for this one",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        Check.CERTIFICATE,
        "another authority has signed it: give that one's certificate with --master-ca-file",
    ),
    (
        "CERTIFICATE_REQUIRED",
        Check.CERTIFICATE,
        "it wants a certificate of ours: --master-cert-file and --master-key-file",
    ),
    ("UNKNOWN_CA", Check.CERTIFICATE, "it does not know who signed our certificate: have its own authority issue it"),
    ("WRONG_VERSION_NUMBER", Check.CERTIFICATE, "no TLS is spoken there: use http, or leave out --master-ca-file"),
    ("RECORD_LAYER_FAILURE", Check.CERTIFICATE, "no TLS is spoken there: use http, or leave out --master-ca-file"),
    ("No leader elected", Check.MASTER, "the masters have no leader: look at their log and their ZooKeeper"),
    ("not finished recovery", Check.MASTER, "the leader is recovering its registry: wait, then look at its log"),
    ("redirected more than", Check.MASTER, "the masters send us round in circles: they disagree on who leads"),
    ("is it a Mesos master?", Check.MASTER, "something else answers there: compare the address"),
    ("connection refused", Check.MASTER, "nothing listens there: compare the address, and see whether it runs"),
    ("no connection in time", Check.MASTER, "no way leads there: routes, firewalls"),
    ("Name or service not known", Check.MASTER, "the name cannot be resolved: compare it, and this machine's DNS"),
    ("RemoteDisconnected", Check.MASTER, "it hangs up: if it speaks TLS, use https:// or --master-ca-file"),
    ("Connection aborted", Check.MASTER, "it hangs up: if it speaks TLS, use https:// or --master-ca-file"),
)
_HANGS_UP = (
    "EOF occurred",
    "RemoteDisconnected",
    "Connection aborted",
    "closed connection without response",
    "Connection reset",
)
"""With TLS 1.3 the client is done with the handshake before the server looks at its certificate."""


def meaning_of_silence(problem: str, *, through_zookeeper: bool = False, login: bool = False) -> Meaning:
    """Nobody answered, or not as a leading master does."""
    if "no Mesos master is known" in problem and through_zookeeper:
        if "itself answers" in problem:
            mend = "compare the path with the masters' --zk, and see whether they run"
            return Meaning(Check.MASTER, "ZooKeeper answers, and no master contends at that path", mend)
        mend = "see whether ZooKeeper runs at that address, and lets us in"
        return Meaning(Check.ZOOKEEPER, "it does not answer", mend)
    if problem.startswith("https://") and any(words in problem for words in _HANGS_UP):
        mend = "it hangs up after the handshake: it wants a certificate of ours, --master-cert-file, or another one"
        return Meaning(Check.LOGIN if login else Check.CERTIFICATE, problem, mend)
    for words, check, mend in _SILENCES:
        if words in problem:
            return Meaning(Check.LOGIN if login else check, problem, mend)
    check = Check.LOGIN if login else Check.CERTIFICATE if "TLS" in problem else Check.MASTER
    return Meaning(check, problem, "see whether it runs, and what its log says")


def meaning_of_refusal(status: int | None, problem: str) -> Meaning:
    """A status that will not change by itself."""
    if "our credentials were not sent there" in problem:
        mend = "name that master too: --master with all of them, or zk://"
        return Meaning(Check.SECRET, problem, mend)
    if status == 401:
        mend = "compare principal and secret with the master's --credentials; set --principal and --secret-file"
        return Meaning(Check.SECRET, problem, mend)
    if "principal" in problem:
        return Meaning(Check.PRINCIPAL, problem, "register as who has logged in: set --principal to that")
    if status == 403:
        mend = "the master (or a gateway before it) does not allow it to this principal: look at its --acls"
        return Meaning(Check.PRINCIPAL, problem, mend)
    return Meaning(Check.MASTER, problem, "see whether a Mesos master is at this address, and not something before it")


def meaning_of_error(message: str) -> Meaning:
    """What the master says of a framework it will not have."""
    lower = message.lower()
    if "principal" in lower:
        return Meaning(Check.PRINCIPAL, message, "register as who has logged in: set --principal to that")
    if "role" in lower or "receive offers" in lower:
        mend = "choose another --role, or have the master's --roles or --acls allow it to our principal"
        return Meaning(Check.ROLE, message, mend)
    if "user" in lower:
        return Meaning(Check.USER, message, "choose another --user, or have the master's --acls allow it")
    return Meaning(Check.FRAMEWORK, message, "the master's log says more")
