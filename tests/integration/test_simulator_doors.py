"""The locks of the simulated cluster as a client meets them, and the stand-in IAM that gives out the keys."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import requests
from issued_certificates import LOOPBACK, Authority
from scripted_master import ManualClock

from headgate.simulator.embedded import EmbeddedCluster
from headgate.simulator.server.checks import Authentication
from headgate.simulator.server.tokens import token_check
from headgate.testing.iam import KEYS, LOGIN, StandInIam

pytestmark = pytest.mark.integration

SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "n"}}}


@pytest.fixture
def iam() -> Iterator[StandInIam]:
    with StandInIam() as running:
        yield running


def log_in(iam: StandInIam, secret: str, **changed: object) -> requests.Response:
    account = json.loads(secret)
    claims = {"uid": account["uid"], "exp": 2**31, **changed}
    token = jwt.encode(
        {name: value for name, value in claims.items() if value is not None}, account["private_key"], "RS256"
    )
    return requests.post(account["login_endpoint"], json={"uid": account["uid"], "token": token}, timeout=10)


def test_a_login(iam: StandInIam) -> None:
    """The token names the account, ends when it says, and can be checked with the IAM's public key."""
    answer = log_in(iam, iam.add_service_account("robot"))
    assert answer.status_code == 200
    token = answer.json()["token"]
    (key,) = requests.get(iam.url + KEYS, timeout=10).json()["keys"]
    claims = jwt.decode(token, jwt.PyJWK(key), algorithms=["RS256"])
    assert claims["uid"] == "robot"
    assert iam.principal_of(token) == "robot"
    iam.revoke_tokens()
    assert iam.principal_of(token) is None


@pytest.mark.parametrize("changed", [{"exp": 1}, {"exp": None}, {"uid": "somebody"}, {"uid": None}])
def test_logins_that_are_refused(iam: StandInIam, changed: dict[str, object]) -> None:
    """A token that is over, has no end, or is somebody else's."""
    answer = log_in(iam, iam.add_service_account("robot"), **changed)
    assert (answer.status_code, answer.json()["code"]) == (401, "ERR_INVALID_CREDENTIALS")
    assert iam.logins == []


def test_logins_that_are_none(iam: StandInIam) -> None:
    """Signed in another way, with another key, or no login at all."""
    secret = iam.add_service_account("robot")
    strange = json.loads(secret)
    other = json.loads(iam.add_service_account("other"))
    assert log_in(iam, json.dumps({**strange, "private_key": other["private_key"]})).status_code == 401
    unsigned = jwt.encode({"uid": "robot", "exp": 2**31}, "a secret of thirty-two bytes or so", "HS256")
    body = {"uid": "robot", "token": unsigned}
    assert requests.post(iam.url + LOGIN, json=body, timeout=10).status_code == 401
    assert requests.post(iam.url + LOGIN, data="{", timeout=10).status_code == 400
    assert requests.post(iam.url + LOGIN, json={"uid": "robot"}, timeout=10).status_code == 400
    assert requests.get(iam.url + "/nothing", timeout=10).status_code == 404


def test_tokens_end(iam: StandInIam) -> None:
    clock = ManualClock()
    with StandInIam(clock=clock, token_life_s=60.0) as short:
        token = log_in(short, short.add_service_account("robot")).json()["token"]
        assert short.principal_of(token) == "robot"
        clock.at += 61
        assert short.principal_of(token) is None


def subscribed(url: str, **more: object) -> int:
    with requests.post(f"{url}/api/v1/scheduler", json=SUBSCRIBE, stream=True, timeout=10, **more) as answer:  # type: ignore[arg-type]
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"] == "acsjwt"
        return answer.status_code


def test_a_master_that_asks_for_tokens(iam: StandInIam) -> None:
    """And takes Basic besides, if it has secrets."""
    token = log_in(iam, iam.add_service_account("robot")).json()["token"]
    locks = Authentication(secrets={"us": "sesame"}, frameworks=True, tokens=iam.principal_of)
    with EmbeddedCluster(agents=[], authentication=locks) as cluster:
        url = cluster.master_url
        assert subscribed(url, headers={"Authorization": f"token={token}"}) == 200
        assert subscribed(url, headers={"Authorization": f"Bearer {token}"}) == 401
        assert subscribed(url, headers={"Authorization": f"token={token[:-5]}"}) == 401
        assert subscribed(url) == 401
        assert subscribed(url, auth=("us", "sesame")) == 200


def test_a_check_by_the_public_key(iam: StandInIam) -> None:
    check = token_check(iam.public_key())
    token = log_in(iam, iam.add_service_account("robot")).json()["token"]
    assert check(token) == "robot"
    assert check(token + "x") is None
    assert check("nonsense") is None
    with pytest.raises(ValueError, match="no public key"):
        token_check("nonsense")


def test_the_command_line(iam: StandInIam, tmp_path: Path) -> None:
    """A simulated master in a process of its own, behind TLS, a client certificate and a token."""
    authority = Authority(tmp_path)
    server, client = authority.issue(LOOPBACK), authority.issue("client")
    (tmp_path / "iam.pem").write_text(iam.public_key())
    command = [sys.executable, "-m", "headgate.simulator", "--port", "0", "--tls-cert", str(server.certificate)]
    command += ["--tls-key", str(server.key), "--tls-client-ca", str(authority.file)]
    command += ["--token-key", str(tmp_path / "iam.pem")]
    token = log_in(iam, iam.add_service_account("robot")).json()["token"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[1]
            assert url.startswith("https://")
            ours = {"verify": str(authority.file), "cert": (str(client.certificate), str(client.key))}
            assert subscribed(url, headers={"Authorization": f"token={token}"}, **ours) == 200
            assert subscribed(url, **ours) == 401
            with pytest.raises((requests.ConnectionError, ssl.SSLError)):
                subscribed(url, verify=str(authority.file))
        finally:
            process.terminate()
            process.wait(30)


def test_options_of_the_command_line_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    for options, said in [
        (["--tls-key", "x"], "need --tls-cert"),
        (["--token-key", str(tmp_path / "no.pem")], "no public key"),
        (["--token-key", "/nowhere"], "No such file"),
        (["--tls-cert", "/nowhere"], "No such file"),
    ]:
        done = subprocess.run(
            [sys.executable, "-m", "headgate.simulator", "--port", "0", *options],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
