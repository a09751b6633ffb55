"""How we are let in at the masters, as the operator said it: principal and secret, certificates, a service account."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from requests.auth import AuthBase, HTTPBasicAuth

from headgate.adapters.dcos_login import DcosAuth, ServiceAccount
from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_detection import Masters, listed_masters
from headgate.adapters.mesos_detection_zk import parse_zk_url, zk_masters
from headgate.errors import BadOption
from headgate.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the operator gave us to be let in with.

    `secret` goes with `principal`, over HTTP Basic; a `service_account` of DC/OS takes the place of both.  `ca_file`
    holds the certificates that a server is checked against, instead of those that come with Python.
    `certificate_file` and `key_file` are ours, for masters that ask for one.
    """

    principal: str | None = None
    secret: str | None = field(default=None, repr=False)
    service_account: ServiceAccount | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def tls(self) -> bool:
        """Whether masters found through ZooKeeper, which does not tell, are spoken to with TLS."""
        return self.ca_file is not None or self.certificate_file is not None

    @property
    def registered_principal(self) -> str | None:
        """The principal to name in FrameworkInfo: a master accepts none but the one that has logged in."""
        if self.principal is None and self.service_account is not None:
            return self.service_account.uid
        return self.principal


def access_through(doors: Doors, clock: Clock) -> Access:
    """The access that these options give; nothing is connected to.

    Raises:
        BadOption: they contradict each other, or a file is not what it should be.
    """
    _check_files(doors)
    verify: bool | str = True if doors.ca_file is None else str(doors.ca_file)
    certificate = None
    if doors.certificate_file is not None:
        certificate = (str(doors.certificate_file), str(doors.key_file or doors.certificate_file))
    plain = Access(verify=verify, client_certificate=certificate)
    auth: AuthBase | None = None
    if doors.service_account is not None:
        if doors.secret is not None:
            raise BadOption("--secret-file and --dcos-service-account: a master takes one of them; leave out the other")
        if doors.principal not in (None, doors.service_account.uid):
            raise BadOption(
                f"--principal {doors.principal}: the service account is {doors.service_account.uid}, and a master "
                "accepts no other principal from it; leave out --principal"
            )
        auth = DcosAuth(doors.service_account, access=plain, clock=clock)
    elif doors.secret is not None:
        if doors.principal is None:
            raise BadOption("--secret-file: a secret needs a principal; set --principal")
        auth = HTTPBasicAuth(doors.principal.encode(), doors.secret.encode())
    return Access(auth=auth, verify=verify, client_certificate=certificate)


def find_masters(text: str, *, tls: bool = False) -> Masters:
    """The masters that `--master` means.

    Raises:
        BadOption: it is no address.
    """
    if text.startswith("zk://"):
        return zk_masters(parse_zk_url(text), scheme="https" if tls else "http")
    return listed_masters(text)


def _check_files(doors: Doors) -> None:
    if doors.key_file is not None and doors.certificate_file is None:
        raise BadOption("--master-key-file: a key needs its certificate; set --master-cert-file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if doors.ca_file is not None:
        try:
            context.load_verify_locations(cafile=doors.ca_file)
        except OSError as problem:
            raise BadOption(f"--master-ca-file: {doors.ca_file} {_fault(problem, 'certificates')}") from problem
    if doors.certificate_file is not None:
        try:
            # An empty password instead of none: with none, OpenSSL would ask the terminal for it.
            context.load_cert_chain(doors.certificate_file, doors.key_file, password="")
        except OSError as problem:
            named = doors.certificate_file if doors.key_file is None else f"{doors.certificate_file}, {doors.key_file}"
            text = _fault(problem, "a certificate and its key without a password")
            raise BadOption(f"--master-cert-file, --master-key-file: {named} {text}") from problem


def _fault(problem: OSError, expected: str) -> str:
    if isinstance(problem, ssl.SSLError):
        return f"should hold {expected} in PEM form ({problem.reason or problem})"
    return f"cannot be read: {problem.strerror}"
