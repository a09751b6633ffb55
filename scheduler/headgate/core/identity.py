"""Who we are to Mesos: the framework id, which is never given up while tasks of it are recorded.

A framework that comes back under a new id has lost its tasks: they run on, and nobody may kill or even see them but an
operator (marathon #2224, kubernetes-mesos #167, dcos-flink-service #44).  So an id is kept in the store before anything
is done with it, another one is refused, and giving one up takes an operator who names it.

A subscription that breaks between SUBSCRIBE and SUBSCRIBED may leave a framework on the master that nobody knows of:
Mesos has no way to repeat a first SUBSCRIBE.  Therefore the first one asks for a short failover timeout only, after
which the master forgets such a one by itself; once the id is saved, UPDATE_FRAMEWORK asks for the real one.
"""

from __future__ import annotations

from dataclasses import replace

from headgate.core.ledger import Ledger
from headgate.errors import FrameworkRefused
from headgate.model.call import Framework
from headgate.model.ids import FrameworkId
from headgate.model.record import DisasterRecord, Records


def take_identity(ledger: Ledger, known_as: FrameworkId, framework: Framework) -> str | None:
    """Write down the id the master knows us by; what an operator should know about it, if anything.

    Raises:
        FrameworkRefused: it is another than the one that recorded tasks belong to.
    """
    record = ledger.framework
    if known_as != record.framework_id and ledger.tasks:
        ours = record.framework_id or "a framework whose id is not in the store"
        raise FrameworkRefused(
            f"the master knows us as {known_as}, and {len(ledger.tasks)} tasks of {ours} are recorded: starting anew "
            "would leave them running unattended. Point Headgate at the master and the store that belong together; "
            "or, if these tasks are gone, give the old framework up"
            + (f" with --forget-framework {record.framework_id}" if record.framework_id else " and remove the store")
        )
    new = known_as != record.framework_id
    user = framework.user if new or record.user is None else record.user
    ledger.framework = replace(record, framework_id=known_as, user=user)
    if user == framework.user:
        return None
    return (
        f"Mesos goes on running our tasks as user {user!r}: the user of a framework cannot be changed, so --user "
        f"{framework.user} has no effect. To change it, end all jobs and start with --forget-framework {known_as}"
    )


def refusal(message: str, known_as: FrameworkId | None, tasks: int) -> FrameworkRefused:
    """What it means that the master ended our subscription with `message`, and what to do."""
    if "failed over" in message:
        return FrameworkRefused(
            f"another scheduler has taken over our framework id: {message}. "
            "If both are to run, give each a --data-dir of its own"
        )
    if "has been removed" in message:
        return FrameworkRefused(
            f"the master has removed framework {known_as}: {message}. Somebody tore it down, or no scheduler came back "
            f"within its failover timeout, and Mesos has ended its tasks ({tasks} are recorded). The jobs and their "
            f"checkpoints are still here: start once with --forget-framework {known_as}, and they are launched anew"
        )
    if "principal" in message:
        return FrameworkRefused(
            f"the master refuses us: {message}. A framework keeps the principal it first registered with: give the old "
            "one, or end all jobs and start with a store of its own"
        )
    return FrameworkRefused(f"the master ended our subscription: {message}")


def without_framework(records: Records, given_up: FrameworkId | None) -> Records:
    """The records as they are to be if this framework id is given up; unchanged if it is not the one recorded.

    Its tasks are taken for ended: their slots are filled anew, and their shards given out at higher epochs.  Naming the
    id makes it safe to repeat: the framework that follows has another.
    """
    if given_up is None or records.framework.framework_id != given_up:
        return records
    return replace(
        records,
        framework=replace(records.framework, framework_id=None, user=None, disaster=DisasterRecord()),
        tasks={},
        shards={
            job: tuple(replace(shard, owner=None, releasing=None) for shard in shards)
            for job, shards in records.shards.items()
        },
        operations={},
    )
