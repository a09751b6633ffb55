"""A DC/OS service account: logs in with its key, and adds the token it is given to each request.

The service signs a short-lived login token of its own (RS256, claims `uid` and `exp`), and the cluster's identity and
access manager (IAM) answers it with an authentication token that holds for days.  That one goes with every request as
`Authorization: token=…`, is replaced well before it ends, and at once when a request is answered with 401.

Source: DC/OS documentation, "Service Login" and "DC/OS Authentication Token".
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3

from headgate.adapters.interruptible_http import (
    Access,
    Broken,
    InterruptibleSession,
    LoginRefused,
    RenewableAuth,
    error_text,
)
from headgate.errors import BadOption
from headgate.ports import Clock

log = logging.getLogger(__name__)

ALGORITHM: Final = "RS256"
LOGIN_TOKEN_S: Final = 300.0
"""How long our own token holds: it is used once, at once; the rest is for clocks that differ."""

RENEW_AT: Final = 0.75
"""The part of a token's life after which the next is asked for."""

RETRY_S: Final = 30.0
"""How long an IAM that does not answer is left alone while the old token still holds."""

TIMEOUT_S: Final = (5.0, 10.0)
_ANSWER_BYTES: Final = 64 * 1024
_LOGIN_PATH: Final = "/acs/api/v1/auth/login"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """What the secret of a service account holds."""

    uid: str
    private_key: str = field(repr=False)
    login_endpoint: str


def read_service_account(text: str, *, source: str) -> ServiceAccount:
    """The service account that a secret describes: JSON with `uid`, `private_key`, `login_endpoint` and `scheme`.

    `source` is how the operator named it, for messages; the text itself is in none of them.

    Raises:
        BadOption: it is no such JSON, or its key is none.
    """
    try:
        found: object = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadOption(f"{source}: not JSON; a service account's secret is an object with uid, private_key, …")
    values: Mapping[str, Any] = found
    missing = [
        name for name in ("uid", "private_key", "login_endpoint")
        if not isinstance(values.get(name), str) or not values[name]
    ]  # fmt: skip
    if missing:
        raise BadOption(f"{source}: a service account's secret has the texts {', '.join(missing)} too")
    scheme = values.get("scheme", ALGORITHM)
    if scheme != ALGORITHM:
        raise BadOption(f"{source}: scheme {scheme!r} is not supported; DC/OS signs with {ALGORITHM}")
    url = urlsplit(values["login_endpoint"])
    if url.scheme not in ("http", "https") or not url.hostname:
        raise BadOption(f"{source}: login_endpoint is no URL; expected https://leader.mesos{_LOGIN_PATH}")
    account = ServiceAccount(
        uid=values["uid"], private_key=values["private_key"], login_endpoint=values["login_endpoint"]
    )
    try:
        _signed(account, expires_at=0.0)
    except ValueError as problem:
        raise BadOption(f"{source}: private_key is no RSA key in PEM form") from problem
    return account


class DcosAuth(RenewableAuth):
    """Adds the service account's token to requests.  Any thread; those that need a new token wait for one login."""

    def __init__(self, account: ServiceAccount, *, access: Access, clock: Clock) -> None:
        """`access` is how the IAM is spoken to; its own `auth` is not used."""
        self._account = account
        self._access = access
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0

    def __repr__(self) -> str:
        return f"DcosAuth(uid={self._account.uid!r})"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token; log in if there is none, or if it is time for the next.

        Raises:
            Broken: no token, and the IAM does not answer.
            LoginRefused: the IAM does not accept the account or its key.
        """
        request.headers["Authorization"] = f"token={self._current()}"
        return request

    def renew(self, refused: requests.PreparedRequest) -> bool:
        """See `RenewableAuth`: another thread may have logged in meanwhile, and then that token will do."""
        with self._lock:
            if refused.headers.get("Authorization") != f"token={self._token}":
                return True
            log.warning("the token of %s was refused before its end; logging in again", self._account.uid)
            self._log_in()
            return True

    def log_in(self) -> None:
        """Get a new token, whatever the old one is worth.  Raises as `__call__`."""
        with self._lock:
            self._log_in()

    def _current(self) -> str:
        with self._lock:
            now = self._clock.now()
            if self._token is None or now >= self._ends_at:
                self._log_in()
            elif now >= self._renew_at:
                try:
                    self._log_in()
                except Broken as problem:
                    log.warning("%s; the token holds for %.0f s more", problem, self._ends_at - now)
                    self._renew_at = now + RETRY_S
            assert self._token is not None
            return self._token

    def _log_in(self) -> None:
        account, now = self._account, self._clock.now()
        body = {"uid": account.uid, "token": _signed(account, expires_at=now + LOGIN_TOKEN_S)}
        session = InterruptibleSession(self._access)
        try:
            response = session.post(
                account.login_endpoint,
                json.dumps(body).encode(),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                auth=None,
                timeout=TIMEOUT_S,
            )
            with response:
                self._token = _token_of(account, response)
        except Broken as problem:
            raise Broken(f"no login at {account.login_endpoint}: {problem}") from problem
        finally:
            session.close()
        life_s = _expiry(self._token) - now
        if life_s > 0:
            self._renew_at, self._ends_at = now + life_s * RENEW_AT, now + life_s
        else:
            # It has an end that we cannot read, or that is past by our clock: it holds until a 401 says otherwise.
            self._renew_at = self._ends_at = float("inf")
        log.info("logged in at %s as %s", account.login_endpoint, account.uid)


class _Answer(msgspec.Struct):
    token: str


def _token_of(account: ServiceAccount, response: requests.Response) -> str:
    status = response.status_code
    if status != 200:
        what = f"{account.login_endpoint} answered {status} to the login of {account.uid}"
        text = error_text(response)
        if 400 <= status < 500 and status not in (408, 429):
            hint = "is that service account there, with the public key of this secret, and is our clock right?"
            raise LoginRefused(f"{what}: {text}; {hint}" if text else f"{what}; {hint}")
        raise Broken(what)
    try:
        return msgspec.json.decode(response.raw.read(_ANSWER_BYTES, decode_content=True), type=_Answer).token
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Broken("the answer holds no token; is it the IAM of DC/OS?") from problem
    except (urllib3.exceptions.HTTPError, OSError) as problem:
        raise Broken("the answer was cut off") from problem


def _expiry(token: str) -> float:
    """When a token ends, in seconds; 0 if it does not say.  Whether it is genuine is not for us to ask."""
    jwt = _jwt()
    try:
        expires = jwt.decode(token, options={"verify_signature": False}).get("exp")
    except jwt.InvalidTokenError:
        return 0.0
    return float(expires) if isinstance(expires, (int, float)) else 0.0


def _signed(account: ServiceAccount, *, expires_at: float) -> str:
    """The login token.

    Raises:
        ValueError: the key is no RSA key.
    """
    jwt = _jwt()
    try:
        claims = {"uid": account.uid, "exp": int(expires_at)}
        return str(jwt.encode(claims, account.private_key, algorithm=ALGORITHM))
    except (jwt.PyJWTError, ValueError, TypeError) as problem:
        raise ValueError("not an RSA key in PEM form") from problem


def _jwt() -> ModuleType:
    try:
        import cryptography  # noqa: F401 - PyJWT can do without, but then knows no RS256
        import jwt
    except ImportError as problem:
        raise BadOption(
            "a DC/OS service account needs PyJWT and cryptography: pip install 'headgate[dcos]'"
        ) from problem
    return jwt
