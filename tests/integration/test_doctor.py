"""`headgate doctor`: each thing that can be wrong is staged with real servers, and named with what to do about it."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import uuid
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from issued_certificates import LOOPBACK, Authority, Issued
from scripted_master import Exchange, ManualClock, ScriptedMaster
from zookeeper_server import ZooKeepers

from headgate.adapters.checkup import PROBE_NAME, SKEW_MAX_S, examine_masters
from headgate.adapters.checkup_store import examine_store
from headgate.adapters.clock import SystemClock
from headgate.adapters.dcos_login import read_service_account
from headgate.adapters.mesos_access import Doors, access_through, find_masters
from headgate.adapters.sqlite_store import SqliteStore
from headgate.model.call import Framework
from headgate.model.finding import Check, Finding, Verdict
from headgate.model.ids import FrameworkId
from headgate.model.record import FrameworkRecord, Records
from headgate.model.stored import changes, flattened
from headgate.ports import Clock
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.server.checks import Authentication
from headgate.simulator.server.tls import ServerTls
from headgate.testing.iam import StandInIam

pytestmark = pytest.mark.integration

AGENT = AgentSpec(resources="cpus:1;mem:512")
SECRET = "sesame-94711"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def examined(
    master: str, doors: Doors | None = None, *, role: str = "web", clock: Clock | None = None
) -> dict[Check, Finding]:
    doors = doors or Doors()
    clock = clock or SystemClock()
    framework = Framework(user="root", roles=(role,), principal=doors.registered_principal)
    findings = list(
        examine_masters(
            find_masters(master, tls=doors.tls),
            access_through(doors, clock),
            framework,
            clock=clock,
            through_zookeeper=master.startswith("zk://"),
        )
    )
    by_check = {finding.check: finding for finding in findings}
    assert len(by_check) == len(findings), findings
    for finding in findings:
        assert (finding.verdict is Verdict.FAILED) <= (finding.mend is not None), finding
        assert SECRET not in repr(finding)
    return by_check


def wrong(findings: dict[Check, Finding], check: Check, text: str, mend: str) -> None:
    """That alone is wrong, in these words."""
    failed = [finding for finding in findings.values() if finding.verdict is Verdict.FAILED]
    assert [finding.check for finding in failed] == [check], failed
    assert text in failed[0].text, failed
    assert failed[0].mend is not None
    assert mend in failed[0].mend, failed


def settle(cluster: EmbeddedCluster) -> None:
    """Until its agents are registered."""
    pause = threading.Event()
    for _ in range(3000):
        if all(agent.id is not None for agent in cluster.agents):
            return
        pause.wait(0.01)
    raise AssertionError("the agents do not register")


def served(issued: Issued, client_ca: Path | None = None) -> ServerTls:
    return ServerTls(certificate_file=issued.certificate, key_file=issued.key, client_ca_file=client_ca)


def test_all_is_well(authority: Authority) -> None:
    """Behind TLS and a secret; and the framework that was tried is gone."""
    locked = Authentication(secrets={"us": SECRET}, frameworks=True)
    tls = served(authority.issue(LOOPBACK))
    with EmbeddedCluster(agents=[AGENT, AGENT], authentication=locked, master_tls=tls) as cluster:
        settle(cluster)
        found = examined(cluster.master_url, Doors(principal="us", secret=SECRET, ca_file=authority.file))
        checks = [Check.MASTER, Check.CERTIFICATE, Check.CLOCK, Check.ROLE, Check.VERSION, Check.AGENTS]
        assert list(found) == checks
        assert {finding.verdict for finding in found.values()} == {Verdict.OK}, found
        assert "registered for web as user root, with principal us" in found[Check.ROLE].text
        assert found[Check.VERSION].text == "Mesos 1.12.0"


def test_what_is_sent(authority: Authority) -> None:
    """A framework that takes no offers and does not outlive its stream."""
    with ScriptedMaster() as master:

        def answer(exchange: Exchange) -> None:
            if exchange.call["type"] == "GET_AGENTS":
                exchange.reply(403, b"not for you")
            else:
                exchange.reply(202)

        master.answer = answer

        def grant() -> None:
            request = master.next_subscribe()
            info = request.call["subscribe"]["framework_info"]
            seen.append((info["name"], info["failover_timeout"], request.call["subscribe"]["suppressed_roles"]))
            request.grant()

        seen: list[tuple[object, ...]] = []
        granting = threading.Thread(target=grant)
        granting.start()
        found = examined(master.url)
        granting.join()
        assert seen == [(PROBE_NAME, 0.0, ["web"])]
        assert [master.next_call().call["type"] for _ in range(2)] == ["GET_AGENTS", "TEARDOWN"]
        assert found[Check.AGENTS].verdict is Verdict.UNKNOWN
        assert "not for you" in found[Check.AGENTS].text
        assert found[Check.CLOCK].verdict is Verdict.UNKNOWN
        assert found[Check.VERSION].verdict is Verdict.UNKNOWN


def test_nothing_listens() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
    wrong(examined(f"{LOOPBACK}:{port}"), Check.MASTER, "connection refused", "nothing listens there")


def test_no_such_name() -> None:
    wrong(examined("no-such-host.invalid"), Check.MASTER, "no-such-host.invalid", "cannot be resolved")


@pytest.mark.parametrize(
    ("status", "body", "mend"),
    [
        (503, b"No leader elected", "no leader"),
        (503, b"Master has not finished recovery", "recovering"),
        (200, b"welcome to nginx", "something else answers"),
        (404, b"404 Not Found.", "its log"),
    ],
)
def test_a_master_that_does_not_lead(status: int, body: bytes, mend: str) -> None:
    """With its own words; what answers at all has a clock that is compared."""
    with ScriptedMaster() as master:

        def refuse() -> None:
            for _ in range(4):
                master.next_subscribe().reply(status, body, Date=formatdate(usegmt=True))

        refusing = threading.Thread(target=refuse)
        refusing.start()
        found = examined(master.url)
        refusing.join()
        said = body.decode() if status != 200 else "is it a Mesos master?"
        wrong(found, Check.MASTER, said, mend)
        assert found[Check.CLOCK].verdict is Verdict.OK


def test_zookeeper_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.adapters.mesos_detection_zk.ANSWER_S", 0.1)
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
    found = examined(f"zk://{LOOPBACK}:{port}/mesos")
    wrong(found, Check.ZOOKEEPER, "it does not answer", "whether ZooKeeper runs")


def test_through_zookeeper(zookeeper: ZooKeepers, authority: Authority) -> None:
    """It answers and knows of no master; then one leads, behind TLS and a secret that it may see."""
    url = f"zk://{zookeeper.hosts}/mesos-{uuid.uuid4().hex[:8]}"
    wrong(examined(url), Check.MASTER, "no master contends", "--zk")
    locked = Authentication(secrets={"us": SECRET}, frameworks=True)
    tls = served(authority.issue("localhost"))
    with EmbeddedCluster(agents=[AGENT], authentication=locked, master_tls=tls, zookeeper=url) as cluster:
        settle(cluster)
        found = examined(url, Doors(principal="us", secret=SECRET, ca_file=authority.file))
        assert found[Check.ZOOKEEPER].text == "it answers, and a master leads"
        assert {finding.verdict for finding in found.values()} == {Verdict.OK}, found


@pytest.mark.parametrize("ahead", [SKEW_MAX_S * 2, -SKEW_MAX_S * 2])
def test_clocks_that_differ(ahead: float) -> None:
    """Told with how much and in which direction, while the rest may be well."""

    class Off(SystemClock):
        def now(self) -> float:
            return super().now() + ahead

    with EmbeddedCluster(agents=[AGENT]) as cluster:
        settle(cluster)
        said = "ahead of" if ahead > 0 else "behind"
        wrong(examined(cluster.address, clock=Off()), Check.CLOCK, f"{said} the master's", "NTP")


@pytest.mark.parametrize(
    ("fault", "text", "mend"),
    [
        ("authority", "CERTIFICATE_VERIFY_FAILED", "--master-ca-file"),
        ("over", "certificate has expired", "renew it"),
        ("name", "mismatch", "for another name"),
        ("client", "https://", "--master-cert-file"),
        ("plain", "TLS", "no TLS is spoken there"),
    ],
)
def test_certificates(authority: Authority, tmp_path: Path, fault: str, text: str, mend: str) -> None:
    (tmp_path / "other").mkdir()
    good = authority.issue(LOOPBACK)
    tls = {
        "authority": served(Authority(tmp_path / "other").issue(LOOPBACK)),
        "over": served(authority.issue(LOOPBACK, expired=True)),
        "name": served(authority.issue("mesos.example")),
        "client": served(good, client_ca=authority.file),
        "plain": None,
    }[fault]
    with EmbeddedCluster(agents=[AGENT], master_tls=tls) as cluster:
        wrong(examined(f"https://{cluster.address}", Doors(ca_file=authority.file)), Check.CERTIFICATE, text, mend)


def test_http_to_a_master_with_tls(authority: Authority) -> None:
    """It hangs up, and the hint is the scheme."""
    with EmbeddedCluster(agents=[AGENT], master_tls=served(authority.issue(LOOPBACK))) as cluster:
        wrong(examined(cluster.address), Check.MASTER, "", "https://")


def test_secrets() -> None:
    """None, a wrong one, and one that is withheld from a stranger."""
    locked = Authentication(secrets={"us": SECRET}, frameworks=True)
    with EmbeddedCluster(agents=[AGENT], authentication=locked) as cluster:
        wrong(examined(cluster.address), Check.SECRET, "401", "--principal and --secret-file")
        wrong(examined(cluster.address, Doors(principal="us", secret="x")), Check.SECRET, "401", "--credentials")
        settle(cluster)
        right = Doors(principal="us", secret=SECRET)
        assert examined(cluster.address, right)[Check.ROLE].verdict is Verdict.OK
        with EmbeddedCluster(agents=[], authentication=locked, leader=cluster.address) as follower:
            wrong(examined(follower.address, right), Check.SECRET, "not sent there", "name that master too")


def test_a_principal_that_is_not_who_has_logged_in() -> None:
    """As a service account's framework under another name: the master's words, and what to set."""
    locked = Authentication(secrets={"us": SECRET}, frameworks=True)
    with EmbeddedCluster(agents=[AGENT], authentication=locked) as cluster:
        clock = SystemClock()
        doors = Doors(principal="us", secret=SECRET)
        framework = Framework(user="root", roles=("web",), principal="somebody")
        masters = find_masters(cluster.address)
        findings = list(examine_masters(masters, access_through(doors, clock), framework, clock=clock))
        wrong({each.check: each for each in findings}, Check.PRINCIPAL, "does not match principal", "--principal")


def test_a_role_that_is_none() -> None:
    with EmbeddedCluster(agents=[AGENT]) as cluster:
        wrong(examined(cluster.address, role="a b"), Check.ROLE, "invalid role", "another --role")


@pytest.mark.parametrize(
    ("message", "check"),
    [
        ("Roles { web } are not present in the master's --roles", Check.ROLE),
        ("Not authorized to use roles '{ web }'", Check.ROLE),
        ("User 'root' is not allowed to run frameworks without --root_submissions set", Check.USER),
        ("Framework has been removed", Check.FRAMEWORK),
    ],
)
def test_what_the_master_says_of_the_framework(message: str, check: Check) -> None:
    """Which of the options it is about."""
    with ScriptedMaster() as master:

        def refuse() -> None:
            stream = master.next_subscribe()
            stream.begin()
            stream.record({"type": "ERROR", "error": {"message": message}})
            stream.end()

        refusing = threading.Thread(target=refuse)
        refusing.start()
        found = examined(master.url)
        refusing.join()
        wrong(found, check, message, "")


def test_no_agents() -> None:
    with EmbeddedCluster(agents=[]) as cluster:
        wrong(examined(cluster.address), Check.AGENTS, "none is registered", "start agents")


def test_a_service_account() -> None:
    """Let in; with a key that is not the account's; with an IAM that is away."""
    with StandInIam() as iam:
        locked = Authentication(frameworks=True, readwrite=True, tokens=iam.principal_of)
        with EmbeddedCluster(agents=[AGENT], authentication=locked) as cluster:
            settle(cluster)
            old = Doors(service_account=read_service_account(iam.add_service_account("robot"), source="test"))
            assert {each.verdict for each in examined(cluster.address, old).values()} == {Verdict.OK}
            assert len(iam.logins) == 1
            iam.add_service_account("robot")
            wrong(examined(cluster.address, old), Check.LOGIN, "401 to the login of robot", "public key")
            assert old.service_account is not None
            late = ManualClock()
            wrong(examined(cluster.address, old, clock=late), Check.LOGIN, "is our clock right", "clocks")
    wrong(examined("127.0.0.1:1", old), Check.LOGIN, "connection refused", "nothing listens there")
    assert replace(old.service_account).uid == "robot"


def test_the_store(tmp_path: Path) -> None:
    """Not there yet, readable, and damaged; looking makes nothing."""
    clock = SystemClock()
    finding = examine_store(None, tmp_path, clock=clock)
    assert finding.verdict is Verdict.OK
    assert "will be made" in finding.text
    assert list(tmp_path.iterdir()) == []
    store = SqliteStore(tmp_path / "headgate.db")
    records = replace(Records(), framework=FrameworkRecord(framework_id=FrameworkId("F-1")))
    store.write(changes({}, flattened(records)), term=store.new_term())
    store.close()
    assert "framework F-1, 0 jobs" in examine_store(None, tmp_path, clock=clock).text
    with sqlite3.connect(tmp_path / "headgate.db") as connection:
        connection.execute("update records set value = x'00'")
    connection.close()
    damaged = examine_store(f"sqlite:{tmp_path / 'headgate.db'}", tmp_path, clock=clock)
    assert (damaged.check, damaged.verdict) == (Check.STORE, Verdict.FAILED)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headgate", "doctor", *arguments],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_command(tmp_path: Path) -> None:
    """Lines for people, JSON for programs, and exit codes; secrets from a file or a variable, and never shown."""
    state = ["--data-dir", str(tmp_path)]
    locked = Authentication(secrets={"us": SECRET}, frameworks=True)
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    with EmbeddedCluster(agents=[AGENT], authentication=locked) as cluster:
        settle(cluster)
        well = run("--master", cluster.address, "--principal", "us", "--secret-file", str(secret), *state)
        assert well.returncode == 0, well.stdout + well.stderr
        assert [line.split()[:2] for line in well.stdout.splitlines() if not line.startswith(" ")] == [
            ["ok", "master"], ["ok", "clock"], ["ok", "role"], ["ok", "version"], ["ok", "agents"], ["ok", "store"],
            ["unknown", "workers"],
        ]  # fmt: skip
        again = run("--master", cluster.address, "--principal", "us", "--json", *state, HEADGATE_SECRET=SECRET)
        assert again.returncode == 0, again.stdout
        assert json.loads(again.stdout)["healthy"] is True
        wrong_one = run("--master", cluster.address, "--principal", "us", "--json", *state, HEADGATE_SECRET="x")
        assert wrong_one.returncode == 1
        checks = {each["check"]: each for each in json.loads(wrong_one.stdout)["checks"]}
        assert checks["secret"]["verdict"] == "failed"
        for done in (well, again, wrong_one):
            assert SECRET not in done.stdout + done.stderr
    away = run("--master", cluster.address, *state)
    assert away.returncode == 3
    assert "connection refused" in away.stdout
    assert away.stderr == ""
    nonsense = run("--master", cluster.address, "--secret-file", str(tmp_path / "none"), *state)
    assert nonsense.returncode == 2
    assert "--secret-file" in nonsense.stderr


def test_the_service_account_from_the_environment(tmp_path: Path) -> None:
    """As DC/OS hands it to its services: the JSON itself, or where its file is."""
    with StandInIam() as iam:
        text = iam.add_service_account("robot")
        path = tmp_path / "account.json"
        path.write_text(text)
        locked = Authentication(frameworks=True, tokens=iam.principal_of)
        with EmbeddedCluster(agents=[AGENT], authentication=locked) as cluster:
            arguments = ["--master", cluster.address, "--data-dir", str(tmp_path / "state")]
            settle(cluster)
            for variables, more in (
                ({"DCOS_SERVICE_ACCOUNT_CREDENTIAL": text}, []),
                ({"DCOS_SERVICE_ACCOUNT_CREDENTIAL": f"file://{path}"}, []),
                ({}, ["--dcos-service-account", str(path)]),
            ):
                done = run(*arguments, *more, **variables)
                assert done.returncode == 0, done.stdout + done.stderr
                assert "with principal robot" in done.stdout
            done = run(*arguments, DCOS_SERVICE_ACCOUNT_CREDENTIAL="file:///nowhere")
            assert done.returncode == 2
            assert "DCOS_SERVICE_ACCOUNT_CREDENTIAL: /nowhere cannot be read" in done.stderr
