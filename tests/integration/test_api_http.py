"""The HTTP API over a real socket, and the client against it: every answer, every refusal."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from headgate.adapters.api_client import ApiClient, ApiDenied, ApiUnreachable
from headgate.adapters.api_server import Address, ApiServer, read_address
from headgate.adapters.api_types import Leadership
from headgate.adapters.bundles import BundleStore, build_bundle
from headgate.adapters.http_api import api_application
from headgate.errors import BadJob, HeadgateError, StartFailed, StoreUnavailable, UnknownJob
from headgate.model.command import Cancel, Command, Pause, Receipt, Restart, Resume, Scale, Submit
from headgate.model.ids import AgentId, JobName, ShardId
from headgate.model.job import JobSpec, Program
from headgate.model.note import Note, NoteKind
from headgate.model.record import Goal, JobState
from headgate.model.resources import Resources
from headgate.model.view import AgentView, JobView, MasterView, ShardView, View, WorkerView
from headgate.model.waiting import AgentExplanation, DryRun, Waiting

pytestmark = pytest.mark.integration

DELAYS = JobView(
    name=JobName("delays"),
    submission=1,
    spec=JobSpec(name=JobName("delays"), program=Program(file="delays.py", args={"x": [1, None]})),
    state=JobState.RUNNING,
    state_since=900.0,
    goal=Goal.RUN,
    submitted_at=890.0,
    workers_wished=2,
    workers_ready=1,
    workers=(WorkerView(worker=0, ready=True), WorkerView(worker=1, failures=2, last_failure="exit status 1")),
    shards=(ShardView(id=ShardId("s-0"), epoch=3, worker=0, backlog_records=40, problem="cannot read"),),
    backlog_records=40,
    waiting=Waiting(since=950.0, workers=(1,), text="no agent has 4 GiB"),
    history=(Note(at=900.0, kind=NoteKind.STATE, text="running", job=JobName("delays")),),
)
VIEW = View(at=1000.0, ticks=7, master=MasterView(connected=True, reconciled=True), jobs=(DELAYS,))


class Scheduler:
    """Stands where the loop would: takes commands, refuses some, shows a view."""

    def __init__(self) -> None:
        self.asked: list[Command] = []
        self.shown = VIEW
        self.refuses: HeadgateError | None = None

        self.leads = Leadership(leads=True, leader="http://here.example:10480")

    def leadership(self) -> Leadership:
        return self.leads

    def view(self) -> View:
        return self.shown

    def dry_run(self, spec: JobSpec) -> DryRun:
        return DryRun(job=spec.name, wished=spec.workers.initial, text=f"{spec.name} would start")

    def explain_agent(self, agent_id: AgentId) -> AgentExplanation | None:
        ages = {AgentId("a-1"): 900.0, AgentId("a-2"): 950.0}
        if agent_id not in ages:
            return None
        return AgentExplanation(agent_id=agent_id, hostname="box", seen_at=ages[agent_id], free=Resources())

    def ask(self, command: Command) -> Receipt:
        if self.refuses is not None:
            raise self.refuses
        self.asked.append(command)
        if isinstance(command, Submit):
            return Receipt(job=command.spec.name, submission=4, text=f"{command.spec.name} is submitted")
        if command.job != "delays":
            raise UnknownJob(f"there is no job {command.job}")
        return Receipt(job=command.job, submission=1, text="done")


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "bundles")


@pytest.fixture
def server(scheduler: Scheduler, store: BundleStore) -> Iterator[ApiServer]:
    application = api_application(scheduler, store, token=None, hosts=frozenset({"headgate.example"}))
    with ApiServer(application, Address(host="127.0.0.1", port=0)) as running:
        yield running


@pytest.fixture
def client(server: ApiServer) -> Iterator[ApiClient]:
    found = ApiClient(server.url)
    yield found
    found.close()


def bundle_of(folder: Path):  # type: ignore[no-untyped-def]
    (folder / "delays.py").write_text("stream = None\n")
    return build_bundle(folder, Program(file="delays.py"))


JOB = {"name": "fresh", "program": {"file": "delays.py"}, "workers": {"max": 3}}


def test_what_the_scheduler_shows_comes_back_equal(client: ApiClient) -> None:
    assert client.view() == VIEW
    assert client.job("delays") == DELAYS
    (line,) = client.jobs()
    assert (line.name, line.state, line.backlog_records, line.waiting) == (
        "delays", JobState.RUNNING, 40, "no agent has 4 GiB",
    )  # fmt: skip
    found = client.explain("delays")
    assert (found.waiting, found.history, found.at) == (DELAYS.waiting, DELAYS.history, 1000.0)
    assert found.problems == (
        "worker 1: failed 2 times in a row, the last time so: exit status 1",
        "shard s-0: cannot read",
    )


def test_a_job_rests_goes_on_and_is_restarted(client: ApiClient, scheduler: Scheduler) -> None:
    for call, command in ((client.pause, Pause), (client.resume, Resume), (client.restart, Restart)):
        assert call("delays").text == "done"
        assert scheduler.asked.pop() == command(job=JobName("delays"))
        with pytest.raises(UnknownJob, match="there is no job other"):
            call("other")


def test_a_dry_run_submits_nothing(client: ApiClient, scheduler: Scheduler) -> None:
    assert client.dry_run(JOB) == DryRun(job=JobName("fresh"), wished=1, text="fresh would start")
    assert scheduler.asked == []
    with pytest.raises(BadJob, match="workers"):
        client.dry_run({**JOB, "workers": {"max": 0}})


def test_agents_are_found_by_id_and_by_host_name(client: ApiClient, scheduler: Scheduler) -> None:
    agents = tuple(
        AgentView(id=AgentId(f"a-{number}"), hostname="box", offered=Resources(cpus_m=1000), seen_at=900.0)
        for number in (1, 2)
    )
    scheduler.shown = replace(VIEW, agents=agents)
    assert client.agents() == list(agents)
    assert client.explain_agent("a-1").seen_at == 900.0
    assert client.explain_agent("box").agent_id == "a-2", "the one that was offered last"
    with pytest.raises(UnknownJob, match="no agent elsewhere has been offered"):
        client.explain_agent("elsewhere")


def test_a_job_is_submitted_with_its_bundle(
    client: ApiClient, scheduler: Scheduler, store: BundleStore, tmp_path: Path
) -> None:
    bundle = bundle_of(tmp_path)
    receipt = client.submit(JOB, bundle)
    assert (receipt.job, receipt.submission, receipt.text) == ("fresh", 4, "fresh is submitted")
    (command,) = scheduler.asked
    assert isinstance(command, Submit)
    assert command.spec.program.sha256 == bundle.sha256
    assert command.spec.workers.max == 3
    found = store.find(bundle.sha256)
    assert found is not None
    assert found.read_bytes() == bundle.data


def test_an_agent_fetches_the_bundle(server: ApiServer, client: ApiClient, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path)
    client.submit(JOB, bundle)
    answer = requests.get(f"{server.url}/v1/bundles/{bundle.sha256}.zip", timeout=10)
    assert (answer.status_code, answer.content) == (200, bundle.data)
    assert answer.headers["Content-Type"] == "application/zip"


def test_commands_reach_the_scheduler(client: ApiClient, scheduler: Scheduler) -> None:
    client.scale("delays", 3)
    client.scale("delays", None)
    client.cancel("delays")
    name = JobName("delays")
    assert scheduler.asked == [Scale(job=name, workers=3), Scale(job=name, workers=None), Cancel(job=name)]


def test_a_wrong_job_is_refused_with_every_mistake_and_nothing_is_asked(
    client: ApiClient, scheduler: Scheduler, tmp_path: Path
) -> None:
    with pytest.raises(BadJob) as caught:
        client.submit({"name": "A", "workers": {"max": "many"}}, bundle_of(tmp_path))
    assert len(caught.value.mistakes) == 3
    assert "workers.max: 'many' is not a whole number" in caught.value.mistakes
    assert scheduler.asked == []


def test_a_job_without_its_bundle_is_refused(server: ApiServer, scheduler: Scheduler) -> None:
    answer = requests.post(f"{server.url}/v1/jobs", json={"job": JOB, "bundle": "0" * 64}, timeout=10)
    assert answer.status_code == 422
    assert answer.json()["mistakes"][0].startswith("bundle: there is no bundle 000")
    assert scheduler.asked == []


def test_what_the_scheduler_refuses_is_told(client: ApiClient, scheduler: Scheduler, tmp_path: Path) -> None:
    scheduler.refuses = BadJob(("workers: 9 is above workers.max, 3",))
    with pytest.raises(BadJob, match="9 is above"):
        client.scale("delays", 9)
    scheduler.refuses = UnknownJob("there is no job nope")
    with pytest.raises(UnknownJob, match="nope"):
        client.cancel("nope")
    scheduler.refuses = StoreUnavailable("the store does not answer")
    with pytest.raises(ApiUnreachable, match="503: the store does not answer"):
        client.cancel("delays")


def test_a_name_in_use_is_a_conflict(
    server: ApiServer, scheduler: Scheduler, client: ApiClient, tmp_path: Path
) -> None:
    bundle = bundle_of(tmp_path)
    scheduler.refuses = BadJob(("name: a job delays is not over; cancel it first",))
    with pytest.raises(BadJob, match="not over"):
        client.submit({**JOB, "name": "delays"}, bundle)
    body = {"job": {**JOB, "name": "delays"}, "bundle": bundle.sha256}
    assert requests.post(f"{server.url}/v1/jobs", json=body, timeout=10).status_code == 409
    body["job"]["name"] = "other"
    assert requests.post(f"{server.url}/v1/jobs", json=body, timeout=10).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/v1/jobs/nope", None, 404, "there is no job nope"),
        ("GET", "/v1/jobs/nope/explain", None, 404, "there is no job nope"),
        ("DELETE", "/v1/jobs/nope", None, 404, "there is no job nope"),
        ("POST", "/v1/jobs/nope/scale", '{"workers": 1}', 404, "there is no job nope"),
        ("GET", "/nothing", None, 404, "Not Found"),
        ("GET", f"/v1/bundles/{'0' * 64}.zip", None, 404, "there is no bundle"),
        ("GET", "/v1/bundles/..%2f..%2fetc%2fpasswd", None, 404, ""),
        ("PATCH", "/v1/jobs", None, 405, "Method Not Allowed"),
        ("POST", "/v1/jobs", "{", 400, ""),
        ("POST", "/v1/jobs", '{"bundle": "x"}', 400, "Validation failed"),
        ("POST", "/v1/jobs/delays/scale", '{"workers": "x"}', 400, "Validation failed"),
        ("PUT", f"/v1/bundles/{'0' * 64}.zip", "no zip", 422, "its SHA-256 differs"),
        ("PUT", f"/v1/bundles/{hashlib.sha256(b'no zip').hexdigest()}.zip", "no zip", 422, "a bundle is a zip"),
    ],
)
def test_refusals_are_json_with_the_right_status(
    server: ApiServer, method: str, path: str, body: str | None, status: int, words: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = requests.request(method, server.url + path, data=body, headers=headers, timeout=10)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "mistakes"}
    assert words in answer.json()["error"]


def test_a_body_beyond_the_bound_is_refused(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = requests.put(f"{server.url}/v1/bundles/{'0' * 64}.zip", data=bytes(65 * 1024 * 1024), timeout=60)
    assert answer.status_code == 413


def test_health_readiness_and_metrics(server: ApiServer, scheduler: Scheduler) -> None:
    assert requests.get(f"{server.url}/health", timeout=10).json() == {
        "ready": True, "problem": None, "leads": True, "leader": "http://here.example:10480",
    }  # fmt: skip
    assert requests.get(f"{server.url}/ready", timeout=10).status_code == 200
    scheduler.shown = View(at=1.0, master=MasterView(connected=False, problem="no master leads"))
    answer = requests.get(f"{server.url}/ready", timeout=10)
    assert (answer.status_code, answer.json()["problem"]) == (503, "no master leads")
    assert requests.get(f"{server.url}/health", timeout=10).status_code == 200
    scheduler.shown = View(at=1.0, master=MasterView(connected=True))
    assert "not yet said" in requests.get(f"{server.url}/ready", timeout=10).json()["problem"]
    metrics = requests.get(f"{server.url}/metrics", timeout=10)
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "headgate_master_connected 1.0" in metrics.text


def test_openapi_describes_every_path(server: ApiServer) -> None:
    found = requests.get(f"{server.url}/schema/openapi.json", timeout=10).json()
    assert set(found["paths"]) == {
        "/v1/jobs", "/v1/jobs/{name}", "/v1/jobs/{name}/explain", "/v1/jobs/{name}/scale", "/v1/jobs/{name}/pause",
        "/v1/jobs/{name}/resume", "/v1/jobs/{name}/restart", "/v1/dry-run", "/v1/view", "/v1/agents",
        "/v1/agents/{name}/explain",
        "/v1/bundles/{name}", "/health", "/ready", "/metrics",
    }  # fmt: skip
    assert found["paths"]["/v1/jobs"]["post"]["description"].startswith("Run a job.")


# ---- who may talk to it


@pytest.fixture
def locked(scheduler: Scheduler, store: BundleStore) -> Iterator[ApiServer]:
    application = api_application(scheduler, store, token="s3cret", hosts=frozenset())
    with ApiServer(application, Address(host="127.0.0.1", port=0)) as running:
        yield running


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/view", "/metrics", "/v1/jobs/delays", "/schema/openapi.json"])
@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Bearer", "s3cret", "Basic s3cret", "Bearer s3cretX"])
def test_without_the_token_nothing_is_shown(locked: ApiServer, path: str, sent: str | None) -> None:
    headers = {"Authorization": sent} if sent else {}
    answer = requests.get(locked.url + path, headers=headers, timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert set(answer.json()) == {"error", "mistakes"}


def test_with_the_token_all_is(locked: ApiServer) -> None:
    client = ApiClient(locked.url, "s3cret")
    assert client.view() == VIEW
    client.close()
    headers = {"Authorization": "bearer s3cret", "Host": "anything.example"}
    assert requests.get(f"{locked.url}/v1/jobs", headers=headers, timeout=10).status_code == 200


def test_the_client_says_that_a_token_is_asked_for(locked: ApiServer) -> None:
    client = ApiClient(locked.url)
    with pytest.raises(ApiDenied, match="--api-token-file"):
        client.jobs()
    client.close()


def test_health_checks_and_fetchers_need_no_token(locked: ApiServer, store: BundleStore, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path)
    store.save(bundle.sha256, bundle.data)
    for path in ("/health", "/ready", f"/v1/bundles/{bundle.sha256}.zip"):
        assert requests.get(locked.url + path, timeout=10).status_code == 200
    put = requests.put(f"{locked.url}/v1/bundles/{bundle.sha256}.zip", data=bundle.data, timeout=10)
    assert put.status_code == 401


def test_a_web_page_cannot_drive_a_scheduler_without_a_token(server: ApiServer, scheduler: Scheduler) -> None:
    rebound = requests.get(f"{server.url}/v1/jobs", headers={"Host": "evil.example"}, timeout=10)
    assert rebound.status_code == 403
    form = requests.post(f"{server.url}/v1/jobs/delays/scale", data='{"workers": 1}', timeout=10)
    assert form.status_code == 415
    assert scheduler.asked == []
    for host in ("localhost:1", "127.0.0.1", "[::1]:10480", "headgate.example", "HEADGATE.example:80"):
        assert requests.get(f"{server.url}/v1/jobs", headers={"Host": host}, timeout=10).status_code == 200


# ---- the server


def test_a_port_in_use_is_one_clear_line(scheduler: Scheduler, store: BundleStore) -> None:
    application = api_application(scheduler, store, token=None, hosts=frozenset())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed) as caught:
            ApiServer(application, Address(host="127.0.0.1", port=port))
    assert str(caught.value) == (
        f"cannot listen at 127.0.0.1:{port}: another program listens there already; give another address with --listen"
    )


def test_no_such_host_is_one_clear_line(scheduler: Scheduler, store: BundleStore) -> None:
    application = api_application(scheduler, store, token=None, hosts=frozenset())
    with pytest.raises(StartFailed, match=r"cannot listen at no-such-host\.invalid:1"):
        ApiServer(application, Address(host="no-such-host.invalid", port=1))


def test_stopping_gives_port_and_thread_back(scheduler: Scheduler, store: BundleStore) -> None:
    server = ApiServer(
        api_application(scheduler, store, token=None, hosts=frozenset()), Address(host="127.0.0.1", port=0)
    )
    server.start()
    server.stop()
    server.stop()
    assert not any(thread.name == "headgate-api" for thread in threading.enumerate())
    with socket.create_server(("127.0.0.1", server.address.port)):
        pass
    client = ApiClient(server.url)
    with pytest.raises(ApiUnreachable, match="connection refused"):
        client.jobs()
    client.close()


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:10480", "127.0.0.1", 10480, True),
        ("[::1]:80", "::1", 80, True),
        ("localhost:1", "localhost", 1, True),
        ("0.0.0.0:0", "0.0.0.0", 0, False),
        ("10480", "127.0.0.1", 10480, True),
        ("headgate.example:1", "headgate.example", 1, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    found = read_address(text)
    assert (found.host, found.port, found.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:70000", "host:-1"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(StartFailed, match="is no address to listen at"):
        read_address(text)


def test_somebody_else_at_the_address_is_not_taken_for_a_scheduler() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(65536)
                body = json.dumps({"hello": "world"}).encode()
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
                )

        thread = threading.Thread(target=answer)
        thread.start()
        client = ApiClient(f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ApiUnreachable, match="not of this release"):
            client.jobs()
        thread.join(10)
        client.close()
