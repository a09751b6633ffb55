"""TLS to the agent, as the operator has set it for all that Mesos starts: the `LIBPROCESS_SSL_…` variables.

Stricter than Mesos in one point: whoever names an authority wants the agent checked against it, with or without
`LIBPROCESS_SSL_VERIFY_SERVER_CERT`.

Source: Mesos, `docs/ssl.md`.
"""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter

_log = logging.getLogger(__name__)

_PREFIX: Final = "LIBPROCESS_SSL_"
_OLD_PREFIX: Final = "SSL_"
# What libprocess has unless LIBPROCESS_SSL_CIPHERS says otherwise is in OpenSSL's list, but not in Python's own.
_CIPHERS: Final = "DEFAULT"
_TRUE: Final = frozenset({"1", "true"})


class BadTlsSetting(ValueError):
    """A variable, or the file it names, makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTls:
    """How an agent with TLS is spoken to.

    `authority` is a file, or a directory, of certificates; None: the agent's certificate is not checked.  What is
    checked must be for the agent's address, or with `by_name` for the name that its address has in the DNS.
    """

    authority: str | None = None
    certificate: str | None = None
    key: str | None = None
    by_name: bool = False

    def server_name(self, host: str) -> str:
        """What the agent's certificate must be for.

        Raises:
            OSError: the address has no name.
        """
        return socket.gethostbyaddr(host)[0] if self.by_name else host

    def connection(self, host: str, port: int, *, timeout: float) -> http.client.HTTPSConnection:
        """A connection, not yet opened."""
        return _Connection(host, port, timeout=timeout, tls=self)

    def equip(self, session: requests.Session, host: str) -> None:
        """Make a session speak to the agent in the same way.

        Raises:
            BadTlsSetting: a file is not what it should be.
            OSError: the address has no name.
        """
        if self.authority is None:
            session.verify = False
            # Said once in our own log; each call need not repeat it.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        else:
            session.verify = self.authority
        session.cert = (self.certificate, self.key or self.certificate) if self.certificate else None
        name = self.server_name(host) if self.authority is not None else None
        session.mount("https://", _Adapter(self.context(), name))

    def context(self) -> ssl.SSLContext:
        """The client's end of TLS.

        Raises:
            BadTlsSetting: a file is not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers(_CIPHERS)
        try:
            if self.authority is None:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif Path(self.authority).is_dir():
                context.load_verify_locations(capath=self.authority)
            else:
                context.load_verify_locations(cafile=self.authority)
        except OSError as problem:
            raise BadTlsSetting(f"{_PREFIX}CA_FILE={self.authority}: no certificates there: {problem}") from problem
        try:
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, password="")
        except OSError as problem:
            text = f"{_PREFIX}CERT_FILE={self.certificate}, {_PREFIX}KEY_FILE={self.key}"
            raise BadTlsSetting(f"{text}: no certificate with its key: {problem}") from problem
        return context


def read_tls(variables: Mapping[str, str]) -> AgentTls | None:
    """What the variables say; None: no TLS.

    Raises:
        BadTlsSetting: a file is not what it should be, or the agent is to be checked against nothing.
    """
    if not _truth(variables, "ENABLED"):
        return None
    authority = _text(variables, "CA_FILE") or _text(variables, "CA_DIR")
    tls = AgentTls(
        authority=authority,
        certificate=_text(variables, "CERT_FILE"),
        key=_text(variables, "KEY_FILE"),
        by_name=_text(variables, "VERIFY_IPADD") is not None and not _truth(variables, "VERIFY_IPADD"),
    )
    if authority is None:
        demanded = [name for name in ("VERIFY_SERVER_CERT", "VERIFY_CERT") if _truth(variables, name)]
        if demanded:
            raise BadTlsSetting(f"{_PREFIX}{demanded[0]} is set, but neither {_PREFIX}CA_FILE nor {_PREFIX}CA_DIR")
        _log.warning("the agent's certificate is not checked: %sCA_FILE is not set", _PREFIX)
    tls.context()
    return tls


def _text(variables: Mapping[str, str], name: str) -> str | None:
    return variables.get(_PREFIX + name) or variables.get(_OLD_PREFIX + name) or None


def _truth(variables: Mapping[str, str], name: str) -> bool:
    return (_text(variables, name) or "").lower() in _TRUE


class _Connection(http.client.HTTPSConnection):
    """Checks the certificate against the name it should be for, which may be another than the address called."""

    def __init__(self, host: str, port: int, *, timeout: float, tls: AgentTls) -> None:
        self._made = tls.context()
        super().__init__(host, port, timeout=timeout, context=self._made)
        self._tls = tls

    def connect(self) -> None:
        """Open it.  Raises OSError, of which `ssl.SSLError` is one."""
        http.client.HTTPConnection.connect(self)
        name = self._tls.server_name(self.host) if self._tls.authority is not None else None
        self.sock = self._made.wrap_socket(self.sock, server_hostname=name)


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self._context = context
        self._server_name = server_name
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        kwargs["ssl_context"] = self._context
        if self._server_name is not None:
            kwargs["server_hostname"] = kwargs["assert_hostname"] = self._server_name
        super().init_poolmanager(*args, **kwargs)
