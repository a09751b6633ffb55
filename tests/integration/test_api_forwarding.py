"""A scheduler that stands by answers with the leader's words, never in circles, and says so when nobody leads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from litestar.types import ASGIApp, Receive, Scope, Send
from serving import until

from headgate.adapters.api_client import ApiClient, ApiUnreachable
from headgate.adapters.api_forward import Forwarding
from headgate.adapters.api_server import Address, ApiServer
from headgate.adapters.api_types import Leadership
from headgate.adapters.bundles import BundleStore, build_bundle
from headgate.adapters.http_api import api_application
from headgate.errors import BadJob, StaleLeader, UnknownJob
from headgate.model.command import Command, Receipt, Scale, Submit
from headgate.model.ids import AgentId, JobName
from headgate.model.job import JobSpec, Program
from headgate.model.record import Goal, JobState
from headgate.model.view import JobView, MasterView, View
from headgate.model.waiting import AgentExplanation, DryRun

pytestmark = pytest.mark.integration

DELAYS = JobView(
    name=JobName("delays"), submission=1, spec=JobSpec(name=JobName("delays"), program=Program(file="delays.py")),
    state=JobState.RUNNING, state_since=900.0, goal=Goal.RUN, submitted_at=890.0, workers_wished=1, workers_ready=1,
)  # fmt: skip


class Gate:
    """A scheduler that leads, or stands by."""

    def __init__(self, leadership: Leadership) -> None:
        self.now = leadership
        self.asked: list[Command] = []

    def leadership(self) -> Leadership:
        return self.now

    def view(self) -> View:
        if not self.now.leads:
            return View(at=1.0, master=MasterView(problem="standing by"))
        return View(at=1000.0, master=MasterView(connected=True, reconciled=True), jobs=(DELAYS,))

    def dry_run(self, spec: JobSpec) -> DryRun:
        return DryRun(job=spec.name, wished=1, text="would start")

    def explain_agent(self, agent_id: AgentId) -> AgentExplanation | None:
        return None

    def ask(self, command: Command) -> Receipt:
        if not self.now.leads:
            raise StaleLeader("standing by")
        self.asked.append(command)
        if isinstance(command, Submit):
            return Receipt(job=command.spec.name, submission=4, text="submitted")
        if command.job != "delays":
            raise UnknownJob(f"there is no job {command.job}")
        return Receipt(job=command.job, submission=1, text="done")


LEADS = Leadership(leads=True)
Run = Callable[..., ApiServer]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Serves gates, or other applications."""
    with ExitStack() as undo:

        def begin(what: Gate | ASGIApp, token: str | None = None) -> ApiServer:
            if isinstance(what, Gate):
                bundles = BundleStore(tmp_path / f"bundles-{id(what)}")
                what = api_application(what, bundles, token=token, hosts=frozenset())
            return undo.enter_context(ApiServer(what, Address(host="127.0.0.1", port=0)))

        yield begin


def standby(leader: str | None) -> Gate:
    return Gate(Leadership(leads=False, leader=leader))


def test_every_call_reaches_the_leader(run: Run, tmp_path: Path) -> None:
    """Views, commands, bundles, and every kind of refusal, as if it had been asked itself."""
    gate = Gate(LEADS)
    leader = run(gate)
    here = run(standby(leader.url))
    client = ApiClient(here.url)
    assert client.view() == gate.view()
    assert client.job("delays") == DELAYS
    client.scale("delays", 3)
    assert gate.asked == [Scale(job=JobName("delays"), workers=3)]
    (tmp_path / "delays.py").write_text("stream = None\n")
    bundle = build_bundle(tmp_path, Program(file="delays.py"))
    assert client.submit({"name": "fresh", "program": {"file": "delays.py"}}, bundle).submission == 4
    answer = requests.get(f"{leader.url}/v1/bundles/{bundle.sha256}.zip", timeout=10)
    assert answer.content == bundle.data
    with pytest.raises(UnknownJob, match="there is no job nope"):
        client.cancel("nope")
    with pytest.raises(BadJob, match="A"):
        client.submit({"name": "A", "program": {"file": "delays.py"}}, bundle)
    client.close()
    listed = requests.get(f"{here.url}/v1/jobs?verbose=a%20b", timeout=10)
    assert listed.headers["headgate-leader"] == leader.url
    assert listed.headers["content-type"] == "application/json"
    assert requests.get(f"{here.url}/schema/openapi.json", timeout=10).json()["info"]["title"] == "Headgate"


def test_it_answers_for_its_own_health(run: Run) -> None:
    leader = run(Gate(LEADS))
    here = run(standby(leader.url))
    expected = {"ready": False, "problem": "standing by", "leads": False, "leader": leader.url}
    answer = requests.get(f"{here.url}/health", timeout=10)
    assert (answer.status_code, answer.json()) == (200, expected)
    assert requests.get(f"{here.url}/ready", timeout=10).status_code == 503
    assert requests.get(f"{leader.url}/ready", timeout=10).status_code == 200
    metrics = requests.get(f"{here.url}/metrics", timeout=10).text
    assert "headgate_leader 0.0" in metrics
    assert "headgate_tasks" not in metrics
    assert "headgate_leader 1.0" in requests.get(f"{leader.url}/metrics", timeout=10).text


def test_two_that_take_each_other_for_the_leader_do_not_ask_in_circles(run: Run) -> None:
    first, second = standby(None), standby(None)
    here, there = run(first), run(second)
    first.now, second.now = Leadership(leads=False, leader=there.url), Leadership(leads=False, leader=here.url)
    answer = requests.get(f"{here.url}/v1/jobs", timeout=30)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "the lead is changing hands" in answer.json()["error"]
    first.now = Leadership(leads=False, leader=here.url)
    assert requests.get(f"{here.url}/v1/jobs", timeout=30).status_code == 503


def test_without_a_leader_it_says_so(run: Run) -> None:
    """Nobody elected; or elected and dead."""
    gate = standby(None)
    here = run(gate)
    client = ApiClient(here.url)
    with pytest.raises(ApiUnreachable, match="503: no scheduler leads now; one is elected within seconds: try again"):
        client.jobs()
    dead = run(Gate(LEADS))
    gate.now = Leadership(leads=False, leader=dead.url)
    assert client.jobs()
    dead.stop()
    with pytest.raises(ApiUnreachable, match=f"the leader at {dead.url} does not answer"):
        client.jobs()
    client.close()


def test_a_follower_waits_for_the_next_leader(run: Run) -> None:
    gate = standby(None)
    client = ApiClient(run(gate).url)
    elected = threading.Timer(0.5, lambda: setattr(gate, "now", LEADS))
    elected.start()
    assert client.view(tries=60).jobs == (DELAYS,)
    elected.join()
    client.close()


def test_the_token_is_asked_for_at_every_door(run: Run) -> None:
    leader = run(Gate(LEADS), token="s3cret")
    here = run(standby(leader.url), token="s3cret")
    assert requests.get(f"{here.url}/v1/jobs", timeout=10).status_code == 401
    headers = {"Authorization": "Bearer s3cret"}
    assert requests.get(f"{here.url}/v1/jobs", headers=headers, timeout=10).status_code == 200


def test_a_body_beyond_the_bound_is_refused(run: Run) -> None:
    here = run(standby("http://127.0.0.1:1"))
    answer = requests.put(f"{here.url}/v1/bundles/{'0' * 64}.zip", data=bytes(65 * 1024 * 1024), timeout=60)
    assert answer.status_code == 413


class Endless:
    """An application that goes on sending, a piece each time it is told to, until its caller is gone."""

    def __init__(self) -> None:
        self.more = threading.Semaphore(1)
        self.gone = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        waiting = asyncio.ensure_future(self._await_end(receive))
        while not self.gone.is_set():
            if self.more.acquire(blocking=False):
                await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
            await asyncio.sleep(0.01)
        await waiting

    async def _await_end(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


def test_a_stream_comes_piece_by_piece_and_ends_with_who_reads_it(run: Run) -> None:
    """Nothing is gathered on the way, and the leader hears that nobody listens any more."""
    stream = Endless()
    leader = run(stream)
    here = run(Forwarding(stream, leadership=lambda: Leadership(leads=False, leader=leader.url), body_bytes_max=100))
    with requests.get(f"{here.url}/v1/events", stream=True, timeout=30) as answer:
        pieces = answer.iter_content(chunk_size=None)
        assert next(pieces) == b"data: x\n\n"
        stream.more.release()
        assert next(pieces) == b"data: x\n\n"
        assert not stream.gone.is_set()
    until(stream.gone.is_set, "the leader hears of the end")
