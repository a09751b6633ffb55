"""Finding the leader: redirects, masters that are dead or not ready, and who may see our credentials."""

import gzip
import logging
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mesos_driving import IMPATIENT, QUICK, driving, wait_until_refused_with
from requests.auth import HTTPBasicAuth
from scripted_master import PATIENCE_S, Exchange, ScriptedMaster

from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_detection import ListedMasters
from headgate.adapters.mesos_detection_zk import parse_zk_url, zk_masters
from headgate.adapters.mesos_subscription import HOPS_MAX
from headgate.errors import CallRejected, MasterUnavailable
from headgate.model.call import Revive
from headgate.model.event import Disconnected, Refused, Subscribed

pytestmark = pytest.mark.integration

SECRET = "sesame-94711"
BASIC = Access(auth=HTTPBasicAuth("principal", SECRET))


def follower_of(leader: ScriptedMaster) -> str:
    """The Location that a follower answers, which has no scheme and a longer path."""
    return f"//127.0.0.1:{leader.port}/master/api/v1/scheduler"


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_redirects_lead_to_the_leader() -> None:
    """Over several masters, with method and body; the calls go where the stream is."""
    with ScriptedMaster() as one, ScriptedMaster() as two, ScriptedMaster() as leader, driving(one) as driven:
        first = one.next_subscribe()
        first.reply(307, Location=follower_of(two))
        two.next_subscribe().reply(307, Location=follower_of(leader))
        found = leader.next_subscribe()
        assert (found.method, found.path) == ("POST", "/master/api/v1/scheduler")
        assert found.body == first.body
        found.grant("stream-9")
        driven.mailbox.wait_for(1, Subscribed)
        driven.driver.send(Revive())
        call = leader.next_call()
        assert call.path == "/master/api/v1/scheduler"
        assert call.headers["mesos-stream-id"] == "stream-9"


def test_a_redirect_loop_is_left() -> None:
    """After some hops, and then the next master is tried."""
    with ScriptedMaster() as one, ScriptedMaster() as two, ScriptedMaster() as good:
        with driving(one, good) as driven:
            for hop in range(HOPS_MAX + 1):
                here, there = (one, two) if hop % 2 == 0 else (two, one)
                here.next_subscribe().reply(307, Location=follower_of(there))
            good.next_subscribe().grant()
            driven.mailbox.wait_for(1, Subscribed)
        assert one.subscribes.empty()
        assert two.subscribes.empty()


@pytest.mark.parametrize("location", [None, "ftp://h/", "//:5050/x", "http://[::1/x"])
def test_a_redirect_to_nowhere_is_tried_again(location: str | None) -> None:
    """It may be better next time."""
    with ScriptedMaster() as master, driving(master) as driven:
        request = master.next_subscribe()
        if location is None:
            request.reply(307)
        else:
            request.reply(307, Location=location)
        master.next_subscribe().grant()
        driven.mailbox.wait_for(1, Subscribed)


def test_a_storm_of_refusals_that_pass() -> None:
    """No leader, a leader that recovers, a gateway that fails: tried until it works, without any event."""
    with ScriptedMaster() as master, driving(master) as driven:
        for status in [503] * 10 + [404, 500, 502, 504, 429, 408]:
            master.next_subscribe().reply(status, b"No leader elected")
        master.next_subscribe().grant()
        driven.mailbox.wait_for(1, Subscribed)
        assert len(driven.mailbox.events) == 1


def test_dead_masters_are_passed_over() -> None:
    """The list is tried in turn; a redirect to a master that is dead by now costs one attempt."""
    dead = f"127.0.0.1:{closed_port()}"
    with ScriptedMaster() as one, ScriptedMaster() as two:
        located = ListedMasters([f"http://{dead}", one.url, two.url])
        with driving(located=located) as driven:
            one.next_subscribe().reply(307, Location=f"//{dead}/master/api/v1/scheduler")
            two.next_subscribe().grant()
            driven.mailbox.wait_for(1, Subscribed)


def test_a_master_that_takes_the_connection_and_no_more() -> None:
    """It is left after its time."""
    with socket.create_server(("127.0.0.1", 0)) as mute, ScriptedMaster() as good:
        located = ListedMasters([f"http://127.0.0.1:{mute.getsockname()[1]}", good.url])
        with driving(located=located, timing=IMPATIENT) as driven:
            good.next_subscribe().grant()
            driven.mailbox.wait_for(1, Subscribed)


def text_of_refusal(answer: Callable[[Exchange], None], access: Access | None = None) -> str:
    """What the driver says when SUBSCRIBE is answered like this; it must not try again."""
    with ScriptedMaster() as master, driving(master, access=access) as driven:
        answer(master.next_subscribe())
        (event,) = driven.mailbox.wait_for(1, Refused)
        assert isinstance(event, Refused)
        with pytest.raises(MasterUnavailable, match="answered"):
            driven.driver.send(Revive())
        driven.driver.stop(failover=True)
        assert master.subscribes.empty()
        return event.message


@pytest.mark.parametrize("status", [400, 401, 403, 406, 415])
def test_refusals_that_stay(status: int) -> None:
    """With the master's own words."""
    text = text_of_refusal(lambda request: request.reply(status, b"Expecting 'x' to be present\n"))
    assert f"answered {status}: Expecting 'x' to be present" in text


def test_a_long_refusal_arrives_packed() -> None:
    """The master packs what has a thousand bytes, and it is still read, and cut."""
    body = gzip.compress(b"Failed to parse body: " + b"x" * 100_000)
    text = text_of_refusal(lambda request: request.reply(400, body, Content_Encoding="gzip"))
    assert "Failed to parse body: xxx" in text
    assert len(text) < 1000


def test_a_refusal_that_claims_to_be_packed_and_is_not() -> None:
    """The status is told, if not the text."""
    text = text_of_refusal(lambda request: request.reply(400, b"plain", Content_Encoding="gzip"))
    assert text.endswith("answered 400")


def test_a_moved_address_is_not_followed_but_named() -> None:
    """301 would lose the body, so it is for the operator to mend."""
    text = text_of_refusal(lambda request: request.reply(301, Location="https://h/mesos"))
    assert "https://h/mesos" in text


def basic(request: Exchange) -> bool:
    """Whether a request brought our credentials."""
    given = request.headers.get("authorization")
    assert given in (None, "Basic cHJpbmNpcGFsOnNlc2FtZS05NDcxMQ==")
    return given is not None


def test_credentials_go_to_listed_masters() -> None:
    """On the way and at the end, with SUBSCRIBE and with calls."""
    with ScriptedMaster() as one, ScriptedMaster() as leader, driving(one, leader, access=BASIC) as driven:
        request = one.next_subscribe()
        assert basic(request)
        request.reply(307, Location=follower_of(leader))
        request = leader.next_subscribe()
        assert basic(request)
        request.grant()
        driven.mailbox.wait_for(1, Subscribed)
        driven.driver.send(Revive())
        assert basic(leader.next_call())


def test_credentials_go_to_a_listed_master_under_its_other_name() -> None:
    """Listed by address, redirected to by name: the same end of the same port."""
    with ScriptedMaster() as one, ScriptedMaster() as leader, driving(one, leader, access=BASIC):
        one.next_subscribe().reply(307, Location=f"//localhost:{leader.port}/master/api/v1/scheduler")
        assert basic(leader.next_subscribe())


def test_credentials_do_not_go_where_a_redirect_leads() -> None:
    """Neither with SUBSCRIBE nor with calls; and the refusal that follows says what to do."""
    with ScriptedMaster() as one, ScriptedMaster() as stranger, driving(one, access=BASIC) as driven:
        one.next_subscribe().reply(307, Location=follower_of(stranger))
        request = stranger.next_subscribe()
        assert not basic(request)
        request.grant()
        driven.mailbox.wait_for(1, Subscribed)
        driven.driver.send(Revive())
        assert not basic(stranger.next_call())
        request.end()
        driven.mailbox.wait_for(1, Disconnected)
        one.next_subscribe().reply(307, Location=follower_of(stranger))
        stranger.next_subscribe().reply(401, b"401 Unauthorized.")
        refused = driven.mailbox.wait_for(1, Refused)[-1]
        assert isinstance(refused, Refused)
        assert f"add http://127.0.0.1:{stranger.port}" in refused.message


def test_a_netrc_of_the_user_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are a proxy from the environment, nor other people's settings."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    with ScriptedMaster() as master, driving(master):
        assert "authorization" not in master.next_subscribe().headers


def test_secrets_are_in_no_log_error_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the level and whatever goes wrong."""

    class Talkative(HTTPBasicAuth):
        def __repr__(self) -> str:
            return f"{self.username}:{self.password}"

    caplog.set_level(logging.DEBUG)
    access = Access(auth=Talkative("principal", SECRET))
    said: list[str] = [repr(access)]
    with ScriptedMaster() as master, driving(master, access=access) as driven:
        said.append(repr(vars(driven.driver)))
        master.next_subscribe().reply(503)
        stream = master.next_subscribe()
        stream.grant()
        driven.mailbox.wait_for(1, Subscribed)
        for answer in (lambda request: request.reply(400, b"no"), lambda request: request.drop()):
            master.answer = answer
            with pytest.raises((CallRejected, MasterUnavailable)) as raised:
                driven.driver.send(Revive())
            said += [repr(raised.value), str(raised.value), repr(raised.value.__cause__)]
        stream.end()
        master.next_subscribe().reply(401, b"401 Unauthorized.")
        said += [repr(event) for event in driven.mailbox.wait_for(1, Refused)]
    said += [f"{record.getMessage()} {record.exc_text}" for record in caplog.records]
    assert len(said) > 10
    for each in said:
        assert SECRET not in each
        assert "cHJpbmNpcGFs" not in each


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1, signed by itself, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl program")
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files],
        check=True,
        capture_output=True,
    )
    return folder


def tls_master(certificate: Path, ciphers: str | None = None) -> ScriptedMaster:
    """A master that speaks TLS; with some ciphers of TLS 1.2, or with any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    if ciphers is not None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    return ScriptedMaster(tls=context)


def test_tls_with_a_ca_file(certificate: Path) -> None:
    """Streams, calls, and a stop that ends the wait for the next byte; redirects keep TLS."""
    access = Access(auth=HTTPBasicAuth("principal", SECRET), verify=str(certificate / "cert.pem"))
    with tls_master(certificate) as one, tls_master(certificate) as leader:
        with driving(one, leader, access=access) as driven:
            one.next_subscribe().reply(307, Location=follower_of(leader))
            request = leader.next_subscribe()
            assert basic(request)
            request.grant()
            driven.mailbox.wait_for(1, Subscribed)
            driven.driver.send(Revive())
            assert basic(leader.next_call())
        assert not [thread for thread in threading.enumerate() if thread.name == "mesos-events"]


@pytest.mark.parametrize("cipher", ["AES128-SHA", "AES256-SHA", "ECDHE-RSA-AES128-GCM-SHA256"])
def test_tls_with_the_ciphers_of_mesos(certificate: Path, cipher: str) -> None:
    """Those that libprocess has unless it is told others, which Python offers to nobody by itself; and a better one."""
    access = Access(verify=str(certificate / "cert.pem"))
    with tls_master(certificate, cipher) as master, driving(master, access=access) as driven:
        master.next_subscribe().grant()
        driven.mailbox.wait_for(1, Subscribed)
        driven.driver.send(Revive())
        master.next_call()


def test_tls_without_the_ca_file(certificate: Path) -> None:
    """A certificate nobody vouches for is not spoken to, and calls say why there is no subscription."""
    with tls_master(certificate) as master, driving(master) as driven:
        wait_until_refused_with(driven, "CERTIFICATE_VERIFY_FAILED")
        assert master.subscribes.empty()


def test_credentials_do_not_go_from_tls_to_plain(certificate: Path) -> None:
    """Even to the same host and port number, were that possible: the scheme is part of who it is."""
    with ScriptedMaster() as plain, tls_master(certificate) as secure:
        access = Access(auth=HTTPBasicAuth("principal", SECRET), verify=str(certificate / "cert.pem"))
        located = ListedMasters([secure.url, f"https://127.0.0.1:{plain.port}"])
        with driving(located=located, access=access):
            secure.next_subscribe().reply(307, Location=f"{plain.url}/api/v1/scheduler")
            assert not basic(plain.next_subscribe())


class Announced:
    """Masters that somebody else finds."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.changed: Callable[[], None] | None = None
        self.asked = threading.Semaphore(0)

    def start(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    def next(self) -> str | None:
        self.asked.release()
        return self.url

    def trusts(self, url: str) -> bool:
        return self.url is not None and url.startswith(self.url)

    def close(self) -> None:
        self.changed = None


def test_a_new_leader_ends_the_wait() -> None:
    """There was none, and the next attempt is hours away; then one is announced."""
    located = Announced()
    hours = replace(QUICK, backoff_s=36_000.0, backoff_max_s=36_000.0)
    with ScriptedMaster() as master, driving(located=located, timing=hours, access=BASIC) as driven:
        assert located.asked.acquire(timeout=PATIENCE_S)
        assert located.changed is not None
        located.url = master.url
        located.changed()
        request = master.next_subscribe()
        assert basic(request)
        request.grant()
        driven.mailbox.wait_for(1, Subscribed)
    assert located.changed is None


def test_zookeeper_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried for ever, and stopped at once; the client's threads go, too."""
    monkeypatch.setattr("headgate.adapters.mesos_detection_zk.ANSWER_S", 0.1)
    before = set(threading.enumerate())
    located = zk_masters(parse_zk_url(f"zk://127.0.0.1:{closed_port()}/mesos"))
    with driving(located=located) as driven:
        wait_until_refused_with(driven, "no Mesos master is known")
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), thread
