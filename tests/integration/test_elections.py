"""Who leads, and who knows that it does not: elections on a real ZooKeeper and on a file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from kazoo.client import KazooClient
from zookeeper_server import ZooKeepers, require_zookeeper

from headgate.adapters.clock import SystemClock
from headgate.adapters.file_election import FileElection, SoleElection
from headgate.adapters.mesos_detection_zk import parse_zk_url
from headgate.adapters.zk_election import ZkElection, in_order
from headgate.adapters.zk_session import ZkSession
from headgate.ports import Election

pytestmark = pytest.mark.integration

SESSION_S = 2.0
SOON_S = 30.0

Stand = Callable[[str], tuple[ZkElection, ZkSession]]


def until(met: Callable[[], object], what: str) -> None:
    pause = threading.Event()
    for _ in range(int(SOON_S / 0.05)):
        if met():
            return
        pause.wait(0.05)
    raise AssertionError(f"not within {SOON_S:g} s: {what}")


@pytest.fixture
def stand(zookeeper: ZooKeepers) -> Iterator[Stand]:
    """Makes candidates, each in a session of its own."""
    with ExitStack() as undo:
        path = f"/elections/{uuid4().hex}"

        def candidate(url: str) -> tuple[ZkElection, ZkSession]:
            session = ZkSession(parse_zk_url(f"zk://{zookeeper.hosts}{path}"), session_s=SESSION_S)
            undo.callback(session.close)
            election = ZkElection(session, clock=SystemClock())
            undo.callback(election.close)
            election.start(url)
            return election, session

        yield candidate


@pytest.fixture
def look(zookeeper: ZooKeepers) -> Iterator[KazooClient]:
    client = KazooClient(hosts=zookeeper.hosts)
    client.start()
    yield client
    client.stop()
    client.close()


def expire(zookeepers: ZooKeepers, session: ZkSession) -> None:
    """End a session as if its time had run out: another client of the same session closes it."""
    twin = KazooClient(hosts=zookeepers.hosts, client_id=session._client.client_id)
    twin.start()
    twin.stop()
    twin.close()


def test_one_leads_and_the_others_follow_in_their_order(stand: Stand) -> None:
    """Each knows the address of who leads; who ends lets go at once."""
    first, _ = stand("http://a:1")
    lead = first.lead(SOON_S)
    assert lead is not None
    assert lead.holds()
    second, _ = stand("http://b:1")
    until(lambda: second.leader() == "http://a:1", "the second knows the first")
    third, _ = stand("http://c:1")
    until(lambda: third.leader() == "http://a:1", "the third knows the first")
    assert first.leader() == "http://a:1"
    assert second.lead(0.01) is None
    assert first.lead(0.01) is None, "a lead is given once"
    over = threading.Event()
    lead.when_over(over.set)
    first.close()
    assert over.is_set()
    assert not lead.holds()
    assert second.lead(SOON_S) is not None
    until(lambda: third.leader() == "http://b:1", "the third knows the second")


def test_who_resigns_stands_behind_the_others(stand: Stand) -> None:
    """And leads again, anew, when it is its turn."""
    first, _ = stand("http://a:1")
    old = first.lead(SOON_S)
    assert old is not None
    second, _ = stand("http://b:1")
    until(lambda: second.leader() == "http://a:1", "the second stands")
    first.resign()
    assert not old.holds()
    assert second.lead(SOON_S) is not None
    until(lambda: first.leader() == "http://b:1", "the first knows")
    second.close()
    new = first.lead(SOON_S)
    assert new is not None
    assert new.holds()
    assert not old.holds()


def test_a_session_that_ended_ends_the_lead_and_the_next_one_stands_anew(stand: Stand, zookeeper: ZooKeepers) -> None:
    """Marathon #1043: nothing has to be restarted for the election to go on."""
    first, session = stand("http://a:1")
    lead = first.lead(SOON_S)
    assert lead is not None
    second, _ = stand("http://b:1")
    until(lambda: second.leader() == "http://a:1", "the second stands")
    over = threading.Event()
    lead.when_over(over.set)
    expire(zookeeper, session)
    assert second.lead(SOON_S) is not None
    assert over.wait(SOON_S)
    assert not lead.holds()
    until(lambda: first.leader() == "http://b:1", "the first stands again")
    second.close()
    assert first.lead(SOON_S) is not None


def test_a_candidacy_that_somebody_deletes_ends_the_lead(stand: Stand, look: KazooClient) -> None:
    first, session = stand("http://a:1")
    lead = first.lead(SOON_S)
    assert lead is not None
    (node,) = look.get_children(f"{session.root}/candidates")
    look.delete(f"{session.root}/candidates/{node}")
    again = first.lead(SOON_S)
    assert again is not None
    assert again.holds()
    assert not lead.holds()


def test_a_candidacy_left_behind_in_a_living_session_does_not_lead_for_ever(stand: Stand, look: KazooClient) -> None:
    """As when it could not be deleted because ZooKeeper was away just then."""
    first, session = stand("http://a:1")
    assert first.lead(SOON_S) is not None
    first._left_behind.add(str(first._name))
    first._name = None
    assert first.lead(SOON_S) is not None
    assert len(look.get_children(f"{session.root}/candidates")) == 1


def test_who_hears_nothing_of_zookeeper_does_not_act_and_when_time_is_up_does_not_lead(tmp_path: Path) -> None:
    """At once when the connection breaks; within the session's time when it only falls silent; and it leads again."""
    require_zookeeper()
    with ZooKeepers(tmp_path) as own, ExitStack() as undo:
        session = ZkSession(parse_zk_url(f"zk://{own.hosts}/headgate"), session_s=SESSION_S)
        undo.callback(session.close)
        election = ZkElection(session, clock=SystemClock())
        undo.callback(election.close)
        election.start("http://a:1")
        lead = election.lead(SOON_S)
        assert lead is not None
        over = threading.Event()
        lead.when_over(over.set)
        own.servers[0].pause()
        until(lambda: not lead.holds(), "it knows that it may not act")
        assert over.wait(SOON_S)
        assert election.leader() is None
        assert election.lead(0.01) is None
        own.servers[0].resume()
        again = election.lead(SOON_S)
        assert again is not None
        own.kill()
        until(lambda: not again.holds(), "it knows that it may not act")
        own.start()
        until(lambda: again.holds() or election.lead(0.01), "it leads on, or anew")


def test_candidates_are_ordered_by_number_and_strangers_do_not_count() -> None:
    assert in_order(["b_0000000010", "a_0000000009", "lock", "c_x"]) == ["a_0000000009", "b_0000000010"]


# ---- a file


@pytest.fixture
def on_file(tmp_path: Path) -> Iterator[Callable[[str], FileElection]]:
    opened: list[FileElection] = []

    def candidate(url: str) -> FileElection:
        opened.append(FileElection(tmp_path / "deep" / "headgate.db.lock", clock=SystemClock()))
        opened[-1].start(url)
        return opened[-1]

    yield candidate
    for each in opened:
        each.close()


def test_one_process_holds_the_file_and_says_where_it_is(on_file: Callable[[str], FileElection]) -> None:
    first, second = on_file("http://a:1"), on_file("http://b:1")
    lead = first.lead(1)
    assert lead is not None
    assert lead.holds()
    assert second.lead(0.01) is None
    assert (first.leader(), second.leader()) == ("http://a:1", "http://a:1")
    over = threading.Event()
    lead.when_over(over.set)
    first.resign()
    assert over.is_set()
    assert second.lead(SOON_S) is not None
    assert first.leader() == "http://b:1"
    assert first.lead(0.01) is None
    second.close()
    assert first.leader() is None
    assert first.lead(SOON_S) is not None


_HOLDER = """
import sys
from pathlib import Path
from headgate.adapters.clock import SystemClock
from headgate.adapters.file_election import FileElection

election = FileElection(Path(sys.argv[1]), clock=SystemClock())
election.start("http://holder:1")
print(election.lead(10) is not None, flush=True)
sys.stdin.read()
"""


def test_a_killed_process_holds_the_file_no_more(on_file: Callable[[str], FileElection], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "headgate.db.lock"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        second = on_file("http://b:1")
        assert second.lead(0.01) is None
        assert second.leader() == "http://holder:1"
        holder.kill()
    assert second.lead(SOON_S) is not None


@pytest.mark.parametrize("kind", ["file", "sole"])
def test_a_closed_election_gives_no_lead(kind: str, on_file: Callable[[str], FileElection]) -> None:
    election: Election = on_file("http://a:1") if kind == "file" else SoleElection(clock=SystemClock())
    election.start("http://a:1")
    lead = election.lead(0.01)
    assert lead is not None
    assert election.leader() == "http://a:1"
    assert election.lead(0.01) is None
    election.close()
    election.close()
    assert not lead.holds()
    assert election.lead(0.01) is None
