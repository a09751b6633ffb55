"""Serve a simulated Mesos in the foreground: `python -m headgate.simulator --help`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from headgate.simulator.control import listening
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.master import MasterSettings
from headgate.simulator.server.checks import Authentication
from headgate.simulator.server.tls import ServerTls
from headgate.simulator.server.tokens import token_check

CONFORMANCE_AGENTS = (
    AgentSpec(
        resources="cpus:4;mem:4096;disk:10000;gpus:2;ports:[31000-31500]", attributes="rack:r1;zone:z1", name="A"
    ),
    AgentSpec(resources="cpus:2;mem:2048;disk:10000;ports:[32000-32100]", attributes="rack:r2;zone:z2", name="B"),
)
DEFAULTS = MasterSettings()


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m headgate.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=5050, help="the master's port, 0 for any free one (default 5050)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument(
        "--agent",
        action="append",
        type=agent_spec,
        default=[],
        metavar="RESOURCES[@ATTRIBUTES[@REGION/ZONE]]",
        help="an agent, such as 'cpus:4;mem:4096;ports:[31000-31500]@rack:r1;zone:z1'; give it again for more",
    )
    parser.add_argument("--conformance", action="store_true", help="agents and timeouts of the conformance kit")
    parser.add_argument("--work-dir", type=Path, help="keep sandboxes here (default: a temporary folder)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random in the models")
    parser.add_argument("--control", type=Path, metavar="SOCKET", help="obey a control program on this Unix socket")
    parser.add_argument("--credential", action="append", default=[], metavar="PRINCIPAL:SECRET",
                        help="ask frameworks for HTTP Basic authentication")  # fmt: skip
    parser.add_argument("--token-key", type=Path, metavar="FILE",
                        help="let frameworks in with DC/OS tokens too, checked with this public key")  # fmt: skip
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="speak TLS at the master's port")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="the certificate's key")
    parser.add_argument("--tls-client-ca", type=Path, metavar="FILE", help="ask clients for a certificate of this one")
    parser.add_argument("--leader", metavar="HOST:PORT", help="be a follower that redirects to this master")
    parser.add_argument("--region", help="of the master; agents of other regions are shown to REGION_AWARE frameworks")
    parser.add_argument("--zk", metavar="zk://HOST:PORT[,…]/PATH",
                        help="contend with the masters of other processes; no agents but those you name")  # fmt: skip
    parser.add_argument("--zk-session-timeout", type=float, default=10.0, metavar="S", help="default 10")
    parser.add_argument("--no-master", action="store_true", help="with --zk: only agents")
    parser.add_argument("--agent-ping-timeout", type=float, metavar="S", help="seconds between pings to agents")
    parser.add_argument("--max-agent-ping-timeouts", type=int, metavar="N", help="pings missed until unreachable")
    return parser.parse_args(words)


def agent_spec(text: str) -> AgentSpec:
    """`RESOURCES[@ATTRIBUTES[@REGION/ZONE]]`; what is wrong with them is found when the cluster starts."""
    resources, _, rest = text.partition("@")
    attributes, _, domain = rest.partition("@")
    return AgentSpec(resources=resources, attributes=attributes, domain=domain)


def default_agents(options: argparse.Namespace) -> tuple[AgentSpec, ...]:
    """The agents if none is named."""
    if options.conformance:
        return CONFORMANCE_AGENTS
    return () if options.zk else (AgentSpec(),)


def authentication_of(options: argparse.Namespace) -> Authentication:
    """Who is let in.

    Raises:
        OSError, ValueError: the key of tokens.
    """
    secrets = dict(item.split(":", 1) for item in options.credential if ":" in item)
    tokens = None if options.token_key is None else token_check(options.token_key.read_text(encoding="utf-8"))
    return Authentication(secrets=secrets, frameworks=bool(secrets) or tokens is not None, tokens=tokens)


def tls_of(options: argparse.Namespace) -> ServerTls | None:
    """TLS of the master's port.

    Raises:
        ValueError: a key or an authority without a certificate.
    """
    if options.tls_cert is None:
        if options.tls_key is not None or options.tls_client_ca is not None:
            raise ValueError("--tls-key and --tls-client-ca need --tls-cert")
        return None
    return ServerTls(
        certificate_file=options.tls_cert,
        key_file=options.tls_key or options.tls_cert,
        client_ca_file=options.tls_client_ca,
    )


def cluster_of(options: argparse.Namespace) -> EmbeddedCluster:
    """The cluster that the command line asks for."""
    timeout, count = (
        (1.0, 3) if options.conformance else (DEFAULTS.agent_ping_timeout, DEFAULTS.max_agent_ping_timeouts)
    )
    return EmbeddedCluster(
        agents=options.agent or default_agents(options),
        master_port=options.port,
        work_dir=options.work_dir,
        seed=options.seed,
        host=options.host,
        master_settings=MasterSettings(
            region=options.region,
            agent_ping_timeout=timeout if options.agent_ping_timeout is None else options.agent_ping_timeout,
            max_agent_ping_timeouts=options.max_agent_ping_timeouts or count,
        ),
        authentication=authentication_of(options),
        master_tls=tls_of(options),
        leader=options.leader,
        zookeeper=options.zk,
        contends=not options.no_master,
        zookeeper_session_timeout_s=options.zk_session_timeout,
    )


def main(words: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    options = arguments(words)
    waited = {signal.SIGINT, signal.SIGTERM}
    # Blocked before any thread begins, so that they all leave these signals to `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    with ExitStack() as stack:
        try:
            cluster = cluster_of(options)
            stack.enter_context(cluster)
        except (OSError, ValueError) as fault:
            sys.stderr.write(f"headgate.simulator: {getattr(fault, 'strerror', None) or fault}\n")
            return 1
        if options.control:
            stack.enter_context(listening(cluster, options.control))
        if not options.no_master:
            sys.stdout.write(f"master {cluster.master_url}\n")
        for agent in cluster.agents:
            sys.stdout.write(f"agent {agent.name} http://{agent.address} work directory {agent.work_dir}\n")
        sys.stdout.flush()
        signal.sigwait(waited)
    return 0


if __name__ == "__main__":
    sys.exit(main())
