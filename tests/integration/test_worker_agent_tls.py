"""The executor driver at an agent with TLS: what is checked, by which variables, and what is told when it fails."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from issued_certificates import LOOPBACK, Authority, Issued
from mesos_driving import driving
from scripted_agent import scripted_agent
from test_worker_agent_driver import LAUNCH, TASK, Bench

from headgate.adapters.mesos_detection import listed_masters
from headgate.model.call import Accept, Acknowledge, Framework, Launch, SendMessage
from headgate.model.event import Message as MessageFromExecutor
from headgate.model.event import Offers, Update
from headgate.model.resources import Resources
from headgate.simulator.agent import AgentSettings
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.server.tls import ServerTls
from millstream.adapters.executor_environment import BadEnvironment
from millstream.core.executor_api import Disconnected, Subscribed, TaskState

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
TOKEN = "eyJ-token-of-this-container"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def bench_at(
    issued: Issued, *, client_ca: Path | None = None, ciphers: str | None = None, **variables: str
) -> Iterator[Bench]:
    """A driver at an agent with this certificate; variables are named without `LIBPROCESS_SSL_`."""
    extra = {f"LIBPROCESS_SSL_{name}": value for name, value in {"ENABLED": "1", **variables}.items()}
    with scripted_agent(issued.server_context(client_ca=client_ca, ciphers=ciphers)) as (agent, endpoint):
        checkpoint = {"MESOS_CHECKPOINT": "1", "MESOS_RECOVERY_TIMEOUT": "1hrs"}
        bench = Bench(agent, endpoint, **checkpoint, **extra, MESOS_EXECUTOR_AUTHENTICATION_TOKEN=TOKEN)
        bench.driver.start()
        try:
            yield bench
        finally:
            bench.driver.stop()


def converse(bench: Bench) -> None:
    """Stream and calls both get through, with the token of executor authentication."""
    bench.until(Subscribed)
    bench.agent.stream().send(LAUNCH)
    bench.driver.update(TASK, TaskState.RUNNING)
    bench.agent.wait_for(lambda: bench.agent.states() == ["TASK_RUNNING"])
    assert {headers["Authorization"] for headers in bench.agent.headers} == {f"Bearer {TOKEN}"}


def test_checked_against_our_authority(authority: Authority) -> None:
    with bench_at(authority.issue(LOOPBACK), CA_FILE=str(authority.file)) as bench:
        converse(bench)


def test_a_certificate_of_ours(authority: Authority) -> None:
    """For agents that want to know who calls; the key beside it, or in the same file."""
    mine = authority.issue("executor")
    joined = mine.key.with_suffix(".pem")
    joined.write_bytes(mine.certificate.read_bytes() + mine.key.read_bytes())
    variables = {"CA_FILE": str(authority.file), "CERT_FILE": str(mine.certificate), "KEY_FILE": str(mine.key)}
    with bench_at(authority.issue(LOOPBACK), client_ca=authority.file, **variables) as bench:
        converse(bench)
    variables = {"CA_FILE": str(authority.file), "CERT_FILE": str(joined)}
    with bench_at(authority.issue(LOOPBACK), client_ca=authority.file, **variables) as bench:
        converse(bench)


@pytest.mark.parametrize("cipher", ["AES128-SHA", "AES256-SHA", "ECDHE-RSA-AES128-GCM-SHA256"])
@pytest.mark.parametrize("checked", [True, False])
def test_the_ciphers_of_mesos(authority: Authority, cipher: str, checked: bool) -> None:
    """Those that libprocess has unless it is told others, which Python offers to nobody by itself; and a better one."""
    variables = {"CA_FILE": str(authority.file)} if checked else {}
    with bench_at(authority.issue(LOOPBACK, old_fashioned=True), ciphers=cipher, **variables) as bench:
        converse(bench)


def test_a_certificate_for_the_name_of_the_address(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `LIBPROCESS_SSL_VERIFY_IPADD=false` asks for; without it the address itself must be in the certificate."""
    monkeypatch.setattr(socket, "gethostbyaddr", lambda address: ("agent-1.example", [], [address]))
    named = authority.issue("agent-1.example")
    with bench_at(named, CA_FILE=str(authority.file), VERIFY_IPADD="false") as bench:
        converse(bench)
    with bench_at(named, CA_FILE=str(authority.file)) as bench:
        assert "IP address mismatch" in bench.until(Disconnected).reason
        assert bench.agent.calls == []


@pytest.mark.parametrize("wrong", ["authority", "over"])
def test_an_agent_that_is_not_what_it_says(authority: Authority, tmp_path: Path, wrong: str) -> None:
    """Nothing is said to it, the token least of all."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    issued = other.issue(LOOPBACK) if wrong == "authority" else authority.issue(LOOPBACK, expired=True)
    with bench_at(issued, CA_FILE=str(authority.file)) as bench:
        reason = bench.until(Disconnected).reason
        assert ("certificate has expired" if wrong == "over" else "CERTIFICATE_VERIFY_FAILED") in reason
        assert bench.agent.headers == []


def test_unchecked_when_nothing_says_against_what(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """As Mesos itself does by default; the log says so."""
    with bench_at(authority.issue("somebody.else")) as bench:
        converse(bench)
    assert "the agent's certificate is not checked" in caplog.text


def test_plain_words_to_an_agent_with_tls(authority: Authority) -> None:
    """The agent keeps its own variables from executors; how they get them is what its operator has to be told."""
    with bench_at(authority.issue(LOOPBACK), ENABLED="0") as bench:
        reason = bench.until(Disconnected).reason
        assert "LIBPROCESS_SSL_ENABLED" in reason
        assert "--executor_environment_variables" in reason
        assert bench.agent.headers == []


def test_variables_that_make_no_sense(authority: Authority, tmp_path: Path) -> None:
    """Told at the start, by their names."""
    text = tmp_path / "text"
    text.write_text("nothing")
    for variables, said in [
        ({"CA_FILE": str(text)}, "LIBPROCESS_SSL_CA_FILE=.*no certificates"),
        ({"CA_FILE": "/nowhere"}, "LIBPROCESS_SSL_CA_FILE=/nowhere"),
        ({"VERIFY_SERVER_CERT": "true"}, "neither LIBPROCESS_SSL_CA_FILE nor"),
        ({"CERT_FILE": str(text), "KEY_FILE": str(text)}, "LIBPROCESS_SSL_CERT_FILE=.*no certificate with its key"),
    ]:
        with pytest.raises(BadEnvironment, match=said), bench_at(authority.issue(LOOPBACK), **variables):
            pass


def test_a_real_executor_on_an_agent_with_tls(authority: Authority) -> None:
    """Through the simulated agent: subscribed, launched, acknowledged, and a message there and back."""
    issued = authority.issue(LOOPBACK)
    settings = AgentSettings(
        executor_environment={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(path for path in sys.path if path),
            "LIBPROCESS_SSL_ENABLED": "true",
            "LIBPROCESS_SSL_CA_FILE": str(authority.file),
        }
    )
    tls = ServerTls(certificate_file=issued.certificate, key_file=issued.key)
    spec = AgentSpec(resources="cpus:2;mem:1024;disk:100")
    framework = Framework(user="root", roles=("web",))
    with (
        EmbeddedCluster(agents=[spec], agent_settings=settings, agent_tls=tls) as cluster,
        driving(located=listed_masters(cluster.address), framework=framework) as driven,
    ):
        offers = next(event for event in driven.mailbox.wait_for(1, Offers) if isinstance(event, Offers))
        offer = offers.offers[0]
        launch = Launch(
            task_id="t1",
            agent_id=offer.agent_id,
            name="t1",
            resources=Resources(cpus_m=500, mem_m=128_000),
            argv=(sys.executable, str(HERE / "tls_executor.py")),
            data=b"",
            role="web",
        )
        driven.driver.send(Accept(offer_ids=(offer.id,), launches=(launch,)))
        events = driven.mailbox.wait_for(1, Update)
        status = next(event for event in events if isinstance(event, Update)).status
        assert (status.state.value, status.message) == ("TASK_RUNNING", "tls: True"), status
        assert status.uuid is not None
        driven.driver.send(Acknowledge(agent_id=offer.agent_id, task_id="t1", uuid=status.uuid))
        driven.driver.send(SendMessage(agent_id=offer.agent_id, executor_id="t1", data=b"there and back"))
        events = driven.mailbox.wait_for(1, MessageFromExecutor)
        assert next(event for event in events if isinstance(event, MessageFromExecutor)).data == b"there and back"
