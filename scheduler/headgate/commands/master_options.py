"""Options that say where the masters are, and how we are let in there.

What must stay secret comes from a file or an environment variable, never from the command line, which others can read.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from headgate.commands.options import read_secret

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)

SECRET_VARIABLE = "HEADGATE_SECRET"
ACCOUNT_VARIABLE = "DCOS_SERVICE_ACCOUNT_CREDENTIAL"
"""Where DC/OS's own services look: the JSON, or `file://` and the path of a file with it."""


def master_options(command: _F) -> _F:
    """Adds the options; the command gets `master`, and the rest as `doors`, a `mesos_access.Doors`."""
    given = [
        _option(
            "--master",
            "HEADGATE_MASTER",
            metavar="ADDRESS",
            required=True,
            help="The Mesos masters: zk://host:2181,…/mesos, host:5050,…, leader.mesos, or https://HOST/mesos behind "
            "DC/OS's Admin Router.",
        ),
        _option("--principal", "HEADGATE_PRINCIPAL", help="Who we are to the master."),
        _option(
            "--secret-file",
            "HEADGATE_SECRET_FILE",
            type=_FILE,
            help=f"File with the principal's secret; or the secret itself in {SECRET_VARIABLE}.",
        ),
        _option(
            "--dcos-service-account",
            "HEADGATE_DCOS_SERVICE_ACCOUNT",
            type=_FILE,
            help="File with the secret of a DC/OS service account, JSON, in place of principal and secret; or that "
            f"JSON in {ACCOUNT_VARIABLE}.",
        ),
        _option(
            "--master-ca-file",
            "HEADGATE_MASTER_CA_FILE",
            type=_FILE,
            help="Certificates that a master with TLS is checked against.",
        ),
        _option(
            "--master-cert-file",
            "HEADGATE_MASTER_CERT_FILE",
            type=_FILE,
            help="Our certificate, for masters that ask for one.",
        ),
        _option(
            "--master-key-file",
            "HEADGATE_MASTER_KEY_FILE",
            type=_FILE,
            help="Its key, without a password.  [default: in --master-cert-file]",
        ),
    ]

    @functools.wraps(command)
    def with_doors(**more: Any) -> Any:
        return command(doors=_doors(more), **more)

    for option in reversed(given):
        with_doors = option(with_doors)
    return with_doors  # type: ignore[return-value] # the decorator takes parameters away


def _option(name: str, variable: str, **more: Any) -> Callable[[_F], _F]:
    return click.option(name, envvar=variable, show_envvar=True, **more)


def _doors(given: dict[str, Any]) -> Any:
    """Takes its options out of `given`.

    Raises:
        BadOption: a file that cannot be read, or does not hold what it should.
    """
    from headgate.adapters.dcos_login import read_service_account
    from headgate.adapters.mesos_access import Doors

    account = _account_text(given.pop("dcos_service_account"))
    return Doors(
        principal=given.pop("principal"),
        secret=read_secret(given.pop("secret_file"), "--secret-file") or os.environ.get(SECRET_VARIABLE) or None,
        service_account=read_service_account(account[0], source=account[1]) if account else None,
        ca_file=given.pop("master_ca_file"),
        certificate_file=given.pop("master_cert_file"),
        key_file=given.pop("master_key_file"),
    )


def _account_text(path: Path | None) -> tuple[str, str] | None:
    """The JSON of a service account, and where it is from."""
    option, held = "--dcos-service-account", os.environ.get(ACCOUNT_VARIABLE)
    if path is None and held and held.startswith("file:"):
        path, option = Path(held.removeprefix("file:").removeprefix("//")), ACCOUNT_VARIABLE
    if path is not None:
        text = read_secret(path, option)
        assert text is not None
        return text, f"{option}: {path}"
    if held:
        return held, ACCOUNT_VARIABLE
    return None
