"""A stand-in for the identity and access manager of DC/OS, for tests of whoever logs in there.

    with StandInIam() as iam:
        secret = iam.add_service_account("headgate")     # the JSON that an operator would put into the secret store
        EmbeddedCluster(authentication=Authentication(frameworks=True, tokens=iam.principal_of))

It answers `POST /acs/api/v1/auth/login` as documented: a login token signed with the account's key (RS256, claims `uid`
and `exp`) is exchanged for an authentication token signed with the IAM's own.  `/acs/api/v1/auth/jwks` shows the IAM's
public key.  What can happen to a real one can be made to happen: tokens that end soon, are revoked, logins that fail.

Source: DC/OS documentation, "Service Login", "DC/OS Authentication Token", and the IAM API.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headgate.adapters.clock import SystemClock
from headgate.ports import Clock

LOGIN = "/acs/api/v1/auth/login"
KEYS = "/acs/api/v1/auth/jwks"
ALGORITHM = "RS256"
KEY_ID = "stand-in"


class StandInIam:
    """Serves on loopback from `start` to `stop`.  Methods may be called from any thread.

    `token_life_s` is how long new tokens hold, of `clock`'s time; `login_statuses` are answered to the next logins in
    place of what they deserve, first in, first out; `logins` are the accounts that were let in, in order.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, token_life_s: float = 5 * 86400.0, clock: Clock | None = None
    ) -> None:
        self.token_life_s = token_life_s
        self.login_statuses: deque[int] = deque()
        self.logins: list[str] = []
        self._clock = clock or SystemClock()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._accounts: dict[str, rsa.RSAPublicKey] = {}
        self._valid: set[str] = set()
        self._issued = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="stand-in-iam")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End, with its port.  Safe to repeat."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> StandInIam:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def add_service_account(self, uid: str) -> str:
        """A new account (or a new key for one that is there); the JSON of its secret."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        with self._lock:
            self._accounts[uid] = key.public_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        secret = {
            "uid": uid,
            "private_key": pem.decode(),
            "login_endpoint": self.url + LOGIN,
            "scheme": ALGORITHM,
        }
        return json.dumps(secret)

    def remove_service_account(self, uid: str) -> None:
        """Its logins are refused from now on; tokens it has hold on."""
        with self._lock:
            del self._accounts[uid]

    def revoke_tokens(self) -> None:
        """No token that was given out so far is worth anything any more."""
        with self._lock:
            self._valid.clear()

    def public_key(self) -> str:
        """What its tokens can be checked with, in PEM form; of revocation such a check knows nothing."""
        pem = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem.decode()

    def principal_of(self, token: str) -> str | None:
        """Whom a token belongs to; None if it is not genuine, over, or revoked."""
        try:
            claims = jwt.decode(token, self._key.public_key(), algorithms=[ALGORITHM], options={"verify_exp": False})
        except jwt.InvalidTokenError:
            return None
        with self._lock:
            if claims["exp"] <= self._clock.now() or token not in self._valid:
                return None
        return str(claims["uid"])

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if (method, path) == ("POST", LOGIN):
            return self._log_in(body)
        if (method, path) == ("GET", KEYS):
            key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
            return 200, {"keys": [{**key, "kid": KEY_ID, "use": "sig", "alg": ALGORITHM}]}
        return 404, _refusal("Not Found", "ERR_UNKNOWN_RESOURCE", "there is no such resource here")

    def _log_in(self, body: bytes) -> tuple[int, dict[str, Any]]:
        with self._lock:
            if self.login_statuses:
                status = self.login_statuses.popleft()
                return status, _refusal("Told to", "ERR_STAGED", "this login was to fail")
        try:
            asked = json.loads(body)
            uid, token = asked["uid"], asked["token"]
        except (ValueError, TypeError, KeyError):
            return 400, _refusal("Bad Request", "ERR_INVALID_DATA", "expected JSON with uid and token")
        with self._lock:
            key = self._accounts.get(uid)
            if key is None or not self._genuine(uid, token, key):
                return 401, _refusal("Unauthorized", "ERR_INVALID_CREDENTIALS", "Invalid service login token")
            self._issued += 1
            claims = {"uid": uid, "exp": int(self._clock.now() + self.token_life_s), "jti": str(self._issued)}
            given = jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": KEY_ID})
            self._valid.add(given)
            self.logins.append(uid)
        return 200, {"token": given}

    def _genuine(self, uid: str, token: str, key: rsa.RSAPublicKey) -> bool:
        try:
            # Whether it is over is asked of our own clock.
            claims = jwt.decode(token, key, algorithms=[ALGORITHM], options={"verify_exp": False, "require": ["exp"]})
        except jwt.InvalidTokenError:
            return False
        return claims.get("uid") == uid and claims["exp"] > self._clock.now()


def _refusal(title: str, code: str, description: str) -> dict[str, Any]:
    return {"title": title, "code": code, "description": description}


def _handler(
    answer: Callable[[str, str, bytes], tuple[int, dict[str, Any]]],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply("GET")

        def do_POST(self) -> None:
            self._reply("POST")

        def _reply(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, content = answer(method, self.path, body)
            written = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *_: object) -> None:
            """Tests have nothing to read there."""

    return Handler
