"""Ports: from the job file to the variables a worker finds."""

from __future__ import annotations

import pytest
from paper_cluster import ENGINES, PaperCluster, job_spec, started

from headgate.core.job_file import read_job
from headgate.engines.port_variables import port_variables
from headgate.model.call import Accept
from headgate.model.ids import AgentId, Attempt, JobName
from headgate.model.job import JobSpec
from headgate.model.resources import PortRange, Request, Resources

DOCUMENT = {"name": "delays", "program": {"file": "p.py"}}


@pytest.mark.parametrize(
    ("written", "count", "names"), [(0, 0, ()), (3, 3, ()), (["web", "debug-port"], 2, ("web", "debug-port"))]
)
def test_ports_are_a_number_or_names(written: object, count: int, names: tuple[str, ...]) -> None:
    """Both say how many there are."""
    found = read_job({**DOCUMENT, "worker": {"ports": written}})
    assert isinstance(found, JobSpec)
    assert found.worker.ports == count
    assert found.port_names == names


def test_a_worker_finds_its_ports_by_number_and_name() -> None:
    """Over several ranges, in their order; what the job sets itself wins."""
    ports = (PortRange(begin=31000, end=31001), PortRange(begin=31005, end=31005))
    assert port_variables(("web", "debug-port"), ports) == {
        "PORT0": "31000",
        "PORT1": "31001",
        "PORT2": "31005",
        "PORTS": "31000,31001,31005",
        "PORT_WEB": "31000",
        "PORT_DEBUG_PORT": "31001",
    }
    assert port_variables(("web",), ()) == {}
    spec = job_spec(port_names=("web",), env={"PORT0": "80"}, worker=Request(cpus_m=1000, ports=1))
    launch = ENGINES["millstream"].launch(
        spec,
        Attempt(job=JobName("delays"), submission=1, worker=0, attempt=0),
        agent_id=AgentId("a"),
        resources=Resources(cpus_m=1000, ports=(PortRange(begin=31000, end=31000),)),
        bundle_url=None,
    )
    assert launch.environment == {"PORT0": "80", "PORT_WEB": "31000", "PORTS": "31000"}


def test_a_job_without_ports_is_launched_without_such_variables() -> None:
    """As ever."""
    cluster = PaperCluster(1)
    started(cluster, job_spec())
    cluster.until(lambda: bool(cluster.live()))
    (accept,) = cluster.sent(Accept)
    assert isinstance(accept, Accept)
    assert accept.launches[0].environment == {}
