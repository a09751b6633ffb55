"""Rules about shards: one owner per epoch, epochs that grow, and output in which every record counts once."""

from __future__ import annotations

from headgate.model.call import SendMessage
from headgate.model.ids import FrameworkId, ShardId
from headgate.testing.rules import Happening, Leads, Saved, Sent, Violation, Written
from headgate.testing.shard_log import Commit
from headgate.testing.source import total
from headgate.testing.stored_records import StoredRecords
from headgate.testing.timeline import Timeline
from millstream.contract.assignment import Assignment
from millstream.contract.wire import decode


class OneOwner:
    """A shard's epoch belongs to one task for ever, is saved as that task's before the task is told, and not forgotten.

    Only the leader is held to the store: one that does not know yet that it is over repeats what is stale.
    """

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # Order is all that counts here.
        self._store = store
        self._owners: dict[tuple[str, str, int], str] = {}
        self._newest: dict[tuple[str, str], int] = {}
        self._versions: dict[str, int] = {}
        self._leader = ""

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Leads(who=who):
                self._leader = who
            case Sent(who=who, call=SendMessage(data=data)):
                assignment = decode(data, Assignment)
                for each in assignment.shards:
                    self._own(assignment.job, each.shard, each.epoch, assignment.task_id)
                if who == self._leader:
                    self._compare(assignment)
            case Written(job=job, shard=shard, entry=entry):
                self._own(job, shard, entry.epoch, entry.owner)
            case Saved():
                for job in sorted({names[1] for names in happened.keys("shards")}):
                    self._check_epochs(job)

    def _own(self, job: str, shard: str, epoch: int, owner: str) -> None:
        self._newest[job, shard] = max(epoch, self._newest.get((job, shard), 0))
        first = self._owners.setdefault((job, shard, epoch), owner)
        if first != owner:
            raise Violation("OneOwner", f"shard {shard} of {job} at epoch {epoch} is {first}'s and {owner}'s")

    def _compare(self, assignment: Assignment) -> None:
        task_id = assignment.task_id
        if assignment.version < self._versions.get(task_id, 0):
            raise Violation("OneOwner", f"{task_id} is told version {assignment.version} after a newer one")
        self._versions[task_id] = assignment.version
        saved = self._store.shards(assignment.job)
        for each in assignment.shards:
            record = saved.get(ShardId(each.shard))
            if record is None or (record.owner, record.epoch) != (task_id, each.epoch):
                raise Violation("OneOwner", f"{task_id} is told to own {each}, saved is {record}")

    def _check_epochs(self, job: str) -> None:
        # One that was saved and that nobody was told of may be drawn anew.
        for shard in self._store.shards(job).values():
            if 0 < shard.epoch < self._newest.get((job, shard.id), 0):
                raise Violation("OneOwner", f"shard {shard.id} of {job} goes back to epoch {shard.epoch}")


class OnceOnly:
    """Commits follow each other without gap or overlap, and what they add up to is the known answer."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del store, timeline  # This rule is about the output.
        self._output: dict[tuple[str, str], tuple[int, int]] = {}

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Written(job=job, shard=shard, entry=entry) if entry.commit is not None:
                self._output[job, shard] = _after(self._output.get((job, shard), (0, 0)), entry.commit, shard)


def _after(before: tuple[int, int], commit: Commit, shard: str) -> tuple[int, int]:
    """(position, sum) once a commit is visible."""
    position, added = before
    if commit.begin != position or commit.end < commit.begin:
        raise Violation("OnceOnly", f"shard {shard} is committed up to {position}, and now {commit}")
    added += commit.added
    if not added == commit.total == total(0, commit.end):
        raise Violation("OnceOnly", f"shard {shard} adds up to {added}, right is {total(0, commit.end)}: {commit}")
    return commit.end, added


class OneFramework:
    """The framework's id is saved before any task is, never forgotten or changed, and used by every later leader."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # It holds at any time.
        self._store = store
        self._id: FrameworkId | None = None

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Leads(who=who, framework_id=framework_id) if framework_id != self._id:
                raise Violation("OneFramework", f"{who} leads as {framework_id}, saved is {self._id}")
            case Saved():
                if self._id is not None and self._store.framework_id != self._id:
                    raise Violation("OneFramework", f"{self._id} has become {self._store.framework_id}")
                self._id = self._store.framework_id
                if self._id is None and self._store.tasks:
                    raise Violation("OneFramework", "tasks are recorded without a framework id")
