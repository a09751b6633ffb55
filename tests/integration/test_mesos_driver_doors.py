"""Registration where the door is locked: secrets, certificates and tokens, asked for by a simulated cluster.

The HTTPS, login token and refresh that python-mesos-http (PR 6) and mesos-rxjava (87) had to be taught.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from issued_certificates import LOOPBACK, Authority, Issued
from mesos_driving import QUICK, Driven, driving, wait_until_refused_with
from scripted_master import PATIENCE_S, ManualClock, ScriptedMaster

from headgate.adapters.dcos_login import LOGIN_TOKEN_S, RENEW_AT, DcosAuth, read_service_account
from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_access import Doors, access_through, find_masters
from headgate.adapters.mesos_detection import ListedMasters
from headgate.errors import BadOption, CallRejected, MasterUnavailable
from headgate.model.call import Framework, Revive
from headgate.model.event import Offers, Refused, Subscribed
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.server.checks import Authentication
from headgate.simulator.server.tls import ServerTls
from headgate.testing.iam import StandInIam

pytestmark = pytest.mark.integration

SECRET = "sesame-94711"
AGENT = AgentSpec(resources="cpus:1;mem:512")
PATIENT = replace(QUICK, answer_s=PATIENCE_S)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Issued:
    return authority.issue(LOOPBACK, "localhost")


@pytest.fixture
def iam() -> Iterator[StandInIam]:
    with StandInIam(clock=ManualClock()) as running:
        yield running


def framework(principal: str | None) -> Framework:
    return Framework(user="root", roles=("web",), principal=principal)


def served(issued: Issued, client_ca: Path | None = None) -> ServerTls:
    return ServerTls(certificate_file=issued.certificate, key_file=issued.key, client_ca_file=client_ca)


def let_in(cluster: EmbeddedCluster, doors: Doors, clock: ManualClock | None = None) -> None:
    """The driver subscribes, is offered something, and its calls are taken."""
    access = access_through(doors, clock or ManualClock())
    masters = find_masters(cluster.master_url)
    with driving(
        located=masters, access=access, framework=framework(doors.registered_principal), timing=PATIENT
    ) as driven:
        driven.mailbox.wait_for(1, Offers)
        driven.driver.send(Revive())


def kept_out(cluster: EmbeddedCluster, doors: Doors) -> str:
    """The driver is refused for good; with what words."""
    access = access_through(doors, ManualClock())
    with driving(
        located=find_masters(cluster.master_url), access=access, framework=framework(doors.registered_principal)
    ) as driven:
        (event,) = driven.mailbox.wait_for(1, Refused)
        assert isinstance(event, Refused)
        return event.message


def test_principal_and_secret() -> None:
    """On SUBSCRIBE and on calls; and nobody without."""
    authentication = Authentication(secrets={"us": SECRET}, frameworks=True)
    with EmbeddedCluster(agents=[AGENT], authentication=authentication) as cluster:
        let_in(cluster, Doors(principal="us", secret=SECRET))
        assert "401 Unauthorized; it wants other credentials: see --secret-file" in kept_out(cluster, Doors())
        assert "401" in kept_out(cluster, Doors(principal="us"))
        assert "401" in kept_out(cluster, Doors(principal="us", secret="guessed"))
        assert "401" in kept_out(cluster, Doors(principal="you", secret=SECRET))


def test_a_secret_that_is_no_ascii() -> None:
    """It goes as UTF-8, which is what Mesos has in its file of credentials."""
    authentication = Authentication(secrets={"us": "sesam-öffne-☃"}, frameworks=True)
    with EmbeddedCluster(agents=[AGENT], authentication=authentication) as cluster:
        let_in(cluster, Doors(principal="us", secret="sesam-öffne-☃"))


def test_tls_with_our_authority(authority: Authority, server: Issued) -> None:
    """A master whose certificate our CA file vouches for."""
    with EmbeddedCluster(agents=[AGENT], master_tls=served(server)) as cluster:
        assert cluster.master_url.startswith("https://")
        let_in(cluster, Doors(ca_file=authority.file))


def unverified(cluster: EmbeddedCluster, doors: Doors, said: str) -> None:
    with driving(located=find_masters(cluster.master_url), access=access_through(doors, ManualClock())) as driven:
        wait_until_refused_with(driven, said)


def test_tls_with_another_authority(tmp_path: Path, server: Issued) -> None:
    """One that calls itself the same is not the same."""
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    with EmbeddedCluster(agents=[], master_tls=served(server)) as cluster:
        unverified(cluster, Doors(ca_file=stranger.file), "CERTIFICATE_VERIFY_FAILED")


def test_tls_of_another_host(authority: Authority) -> None:
    """A certificate for somebody else."""
    with EmbeddedCluster(agents=[], master_tls=served(authority.issue("mesos.example"))) as cluster:
        unverified(cluster, Doors(ca_file=authority.file), "IP address mismatch")


def test_tls_that_is_over(authority: Authority) -> None:
    """Yesterday's certificate."""
    with EmbeddedCluster(agents=[], master_tls=served(authority.issue(LOOPBACK, expired=True))) as cluster:
        unverified(cluster, Doors(ca_file=authority.file), "certificate has expired")


def test_a_master_that_wants_our_certificate(authority: Authority, server: Issued) -> None:
    """One of its own authority; without, there is no connection."""
    mine = authority.issue("headgate", stem="client")
    with EmbeddedCluster(agents=[AGENT], master_tls=served(server, client_ca=authority.file)) as cluster:
        doors = Doors(ca_file=authority.file, certificate_file=mine.certificate, key_file=mine.key)
        let_in(cluster, doors)
        with driving(
            located=find_masters(cluster.master_url),
            access=access_through(Doors(ca_file=authority.file), ManualClock()),
        ) as driven:
            wait_until_refused_with(driven, "127.0.0.1")
            assert not [event for event in driven.mailbox.events if isinstance(event, Subscribed)]


def account_of(iam: StandInIam, uid: str = "headgate") -> Doors:
    return Doors(service_account=read_service_account(iam.add_service_account(uid), source="secret"))


def locked(iam: StandInIam, **more: object) -> EmbeddedCluster:
    return EmbeddedCluster(
        agents=[AGENT], authentication=Authentication(frameworks=True, tokens=iam.principal_of), **more
    )  # type: ignore[arg-type]


def test_a_service_account(iam: StandInIam) -> None:
    """One login serves the stream and all calls; the principal is the account's."""
    with locked(iam) as cluster:
        doors = account_of(iam)
        assert doors.registered_principal == "headgate"
        let_in(cluster, doors)
        assert iam.logins == ["headgate"]


def test_a_service_account_over_tls_behind_admin_router(authority: Authority, server: Issued) -> None:
    """The IAM and the way to the master, `https://host/mesos`, with the cluster's authority."""
    with (
        StandInIam(tls=server.server_context(), clock=ManualClock()) as iam,
        ScriptedMaster(tls=server.server_context()) as router,
    ):
        doors = replace(account_of(iam), ca_file=authority.file)
        masters = find_masters(f"{router.url}/mesos")
        with driving(located=masters, access=access_through(doors, ManualClock())) as driven:
            request = router.next_subscribe()
            assert request.path == "/mesos/api/v1/scheduler"
            token = request.headers["authorization"].removeprefix("token=")
            assert iam.principal_of(token) == "headgate"
            request.grant()
            driven.mailbox.wait_for(1, Subscribed)
            driven.driver.send(Revive())
            call = router.next_call()
            assert (call.path, call.headers["authorization"]) == ("/mesos/api/v1/scheduler", f"token={token}")


def test_a_token_does_not_go_to_strangers(iam: StandInIam) -> None:
    """A redirect to a master that nobody has told us of is followed without it."""
    access = access_through(account_of(iam), ManualClock())
    with ScriptedMaster() as told, ScriptedMaster() as stranger, driving(told, access=access):
        request = told.next_subscribe()
        assert request.headers["authorization"].startswith("token=")
        request.reply(307, Location=f"//127.0.0.1:{stranger.port}/master/api/v1/scheduler")
        assert "authorization" not in stranger.next_subscribe().headers


def test_a_revoked_token_is_replaced_once(iam: StandInIam) -> None:
    """A call that is answered with 401 goes again with a new token, and has then been taken once."""
    with locked(iam) as cluster:
        access = access_through(account_of(iam), ManualClock())
        masters = find_masters(cluster.master_url)
        with driving(located=masters, access=access, framework=framework("headgate")) as driven:
            driven.mailbox.wait_for(1, Subscribed)
            iam.revoke_tokens()
            driven.driver.send(Revive())
            driven.driver.send(Revive())
            assert iam.logins == ["headgate"] * 2


def test_a_master_that_refuses_every_token(iam: StandInIam) -> None:
    """Once more, and then it is the master's word: the login is not hammered."""
    access = access_through(account_of(iam), ManualClock())
    with ScriptedMaster() as master, driving(master, access=access) as driven:
        first = master.next_subscribe()
        first.reply(401, b"")
        second = master.next_subscribe()
        assert second.headers["authorization"] != first.headers["authorization"]
        assert second.body == first.body
        second.reply(401, b"no such luck")
        (event,) = driven.mailbox.wait_for(1, Refused)
        assert isinstance(event, Refused)
        assert "no such luck" in event.message
        assert len(iam.logins) == 2


def bare(iam: StandInIam) -> tuple[DcosAuth, ManualClock]:
    clock = iam._clock
    assert isinstance(clock, ManualClock)
    account = read_service_account(iam.add_service_account("headgate"), source="secret")
    return DcosAuth(account, access=Access(), clock=clock), clock


def token_now(auth: DcosAuth) -> str:
    request = requests.Request("POST", "http://m/").prepare()
    return str(auth(request).headers["Authorization"])


def test_many_refused_at_once_log_in_once(iam: StandInIam) -> None:
    """Whoever comes second with the same token finds that there is another already."""
    auth, _ = bare(iam)
    refused = [auth(requests.Request("POST", "http://m/").prepare()) for _ in range(3)]
    assert [auth.renew(request) for request in refused] == [True] * 3
    assert len(iam.logins) == 2
    assert auth.renew(auth(requests.Request("POST", "http://m/").prepare()))
    assert len(iam.logins) == 3


def test_a_token_is_renewed_before_it_ends(iam: StandInIam) -> None:
    """At three quarters of its life, by our clock."""
    auth, clock = bare(iam)
    first = token_now(auth)
    clock.at += iam.token_life_s * RENEW_AT - 1
    assert token_now(auth) == first
    clock.at += 2
    second = token_now(auth)
    assert second != first
    assert token_now(auth) == second
    assert len(iam.logins) == 2


def test_an_iam_that_does_not_answer_at_renewal(iam: StandInIam) -> None:
    """The old token serves to its end; then there is none."""
    auth, clock = bare(iam)
    first = token_now(auth)
    iam.login_statuses.extend([503, 502])
    clock.at += iam.token_life_s * 0.8
    assert token_now(auth) == first
    assert token_now(auth) == first, "it is left alone for a while"
    assert len(iam.login_statuses) == 1
    clock.at += iam.token_life_s
    with pytest.raises(Exception, match="answered 502") as raised:
        token_now(auth)
    assert type(raised.value).__name__ == "Broken"
    assert token_now(auth) != first


def test_a_login_that_fails_for_now_is_tried_again(iam: StandInIam) -> None:
    """As a master that does not answer."""
    iam.login_statuses.extend([503, 429])
    with locked(iam) as cluster:
        let_in(cluster, account_of(iam))
        assert not iam.login_statuses


def test_a_login_that_is_refused(iam: StandInIam) -> None:
    """A key that the IAM does not know the account by, or an account that is gone: for somebody to mend."""
    with locked(iam) as cluster:
        old = account_of(iam)
        iam.add_service_account("headgate")
        said = kept_out(cluster, old)
        assert "answered 401 to the login of headgate" in said
        assert "public key" in said


def test_a_login_that_is_refused_later(iam: StandInIam) -> None:
    """It is the call that fails then, with the IAM's words; nothing is dropped in silence."""
    with locked(iam) as cluster:
        access = access_through(account_of(iam), ManualClock())
        masters = find_masters(cluster.master_url)
        with driving(located=masters, access=access, framework=framework("headgate")) as driven:
            driven.mailbox.wait_for(1, Subscribed)
            iam.revoke_tokens()
            iam.remove_service_account("headgate")
            with pytest.raises(CallRejected, match="Invalid service login token") as raised:
                driven.driver.send(Revive())
            assert raised.value.status == 401


def test_a_clock_that_differs_too_much(iam: StandInIam) -> None:
    """A login token of five minutes bears that much; beyond it the IAM refuses, and we name the clock."""
    secret = iam.add_service_account("headgate")
    clock = iam._clock
    assert isinstance(clock, ManualClock)
    late = ManualClock()
    late.at = clock.at - LOGIN_TOKEN_S - 1
    auth = DcosAuth(read_service_account(secret, source="secret"), access=Access(), clock=late)
    with pytest.raises(Exception, match="is our clock right"):
        auth.log_in()
    late.at += 10
    auth.log_in()


def test_nothing_of_the_secret_is_told(iam: StandInIam, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key nor a token is in a log, an error or a repr."""
    caplog.set_level("DEBUG")
    secret = json.loads(iam.add_service_account("headgate"))
    account = read_service_account(json.dumps(secret), source="secret")
    auth = DcosAuth(account, access=Access(), clock=ManualClock())
    token = token_now(auth).removeprefix("token=")
    said = [repr(account), repr(auth), repr(Access(auth=auth)), repr(Doors(service_account=account, secret=SECRET))]
    iam.remove_service_account("headgate")
    with pytest.raises(Exception, match="401") as raised:
        auth.log_in()
    said += [repr(raised.value), str(raised.value.__cause__), *(record.getMessage() for record in caplog.records)]
    key_line = secret["private_key"].splitlines()[3]
    for each in said:
        assert key_line not in each
        assert token not in each
        assert token.rpartition(".")[2] not in each
        assert SECRET not in each


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda secret: "no json", "not JSON"),
        (lambda secret: "[]", "not JSON"),
        (lambda secret: json.dumps({**secret, "uid": ""}), "the texts uid too"),
        (lambda secret: json.dumps({"uid": "u"}), "private_key, login_endpoint"),
        (lambda secret: json.dumps({**secret, "private_key": "none"}), "private_key is no RSA key"),
        (lambda secret: json.dumps({**secret, "scheme": "HS256"}), "'HS256' is not supported"),
        (lambda secret: json.dumps({**secret, "login_endpoint": "leader.mesos"}), "no URL"),
    ],
)
def test_secrets_that_are_none(iam: StandInIam, change: Callable[[dict[str, str]], str], said: str) -> None:
    """Told at the start, with where and what, and without what was in them."""
    secret = json.loads(iam.add_service_account("headgate"))
    with pytest.raises(BadOption, match=said) as raised:
        read_service_account(change(secret), source="--dcos-service-account: /run/secret")
    assert str(raised.value).startswith("--dcos-service-account: /run/secret: ")
    assert secret["private_key"].splitlines()[2] not in str(raised.value)


def test_options_that_make_no_sense(tmp_path: Path, iam: StandInIam, authority: Authority, server: Issued) -> None:
    """Contradictions, and files that are not what they should be, are told before anything is begun."""
    account = account_of(iam).service_account
    text = tmp_path / "notes.txt"
    text.write_text("no certificate")
    other = authority.issue("other")
    for doors, said in [
        (Doors(secret=SECRET), "needs a principal"),
        (Doors(principal="us", secret=SECRET, service_account=account), "leave out the other"),
        (Doors(principal="us", service_account=account), "leave out --principal"),
        (Doors(ca_file=tmp_path / "none"), "--master-ca-file: .*cannot be read: No such file"),
        (Doors(ca_file=text), "--master-ca-file: .*should hold certificates"),
        (Doors(key_file=server.key), "a key needs its certificate"),
        (Doors(certificate_file=text, key_file=server.key), "--master-cert-file.*should hold a certificate"),
        (Doors(certificate_file=server.certificate, key_file=other.key), "--master-cert-file.*should hold"),
    ]:
        with pytest.raises(BadOption, match=said):
            access_through(doors, ManualClock())


def test_the_names_of_masters_may_have_many_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`leader.mesos` is where to ask, and every address of `master.mesos` may see our credentials."""
    known = {"leader.mesos": ["10.0.0.1"], "master.mesos": ["10.0.0.1", "10.0.0.2"], "10.0.0.2": ["10.0.0.2"]}

    def looked_up(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in known:
            raise OSError(f"no such host: {host}")
        return [(2, 1, 6, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr("headgate.adapters.mesos_detection.socket.getaddrinfo", looked_up)
    masters = find_masters("leader.mesos,master.mesos")
    assert isinstance(masters, ListedMasters)
    assert masters.next() == "http://leader.mesos:5050"
    assert masters.trusts("http://10.0.0.2:5050/master/api/v1/scheduler")
    assert not masters.trusts("http://10.0.0.3:5050/master/api/v1/scheduler")
    assert not masters.trusts("http://10.0.0.2:5051/master/api/v1/scheduler")
    assert not find_masters("leader.mesos").trusts("http://10.0.0.2:5050/master/api/v1/scheduler")


def test_calls_without_a_subscription_are_errors(iam: StandInIam) -> None:
    """Never dropped in silence (pymesos PR 91), whatever keeps us out."""
    iam.login_statuses.extend([503] * 1000)
    access = access_through(account_of(iam), ManualClock())
    with ScriptedMaster() as master:
        driven: Driven
        with driving(master, access=access) as driven:
            wait_until_refused_with(driven, "answered 503 to the login")
            with pytest.raises(MasterUnavailable, match="Revive was not sent"):
                driven.driver.send(Revive())
            assert master.subscribes.empty()
