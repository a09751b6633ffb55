"""What a millstream worker is started with."""

import pytest
from paper_cluster import GIB, job_spec

from headgate.engines.millstream import MillstreamEngine
from headgate.model.call import Container, ContainerType, FetchUri, Launch
from headgate.model.ids import AgentId, Attempt, JobName
from headgate.model.job import Checkpoint, JobSpec, Program
from headgate.model.resources import Resources
from millstream.contract.wire import decode
from millstream.contract.worker_spec import Delivery, Until, WorkerSpec

ENGINE = MillstreamEngine(default_store="s3://bucket/checkpoints/", python="/opt/python")
ATTEMPT = Attempt(job=JobName("delays"), submission=3, worker=2, attempt=1)
GIVEN = Resources(cpus_m=1000, mem_m=GIB)


def launch(spec: JobSpec) -> Launch:
    return ENGINE.launch(spec, ATTEMPT, agent_id=AgentId("a"), resources=GIVEN, bundle_url="http://h/bundles/ab.zip")


def test_a_worker_without_an_image_runs_on_the_agents_python() -> None:
    """With its bundle unpacked beside it, and everything else in the task's data."""
    spec = job_spec(
        program=Program(file="p.py", object="stream", args={"n": 1}, sha256="ab"),
        env={"A": "b"},
        fetch=(FetchUri(value="http://h/model.bin", extract=False),),
        labels={"team": "x"},
        delivery=Delivery.AT_LEAST_ONCE,
        until=Until.END,
        rate_limit=50.0,
        role="streaming",
    )
    found = launch(spec)
    assert found.argv == ("/opt/python", "-m", "millstream.worker")
    assert found.uris == (
        FetchUri(value="http://h/bundles/ab.zip", extract=True),
        FetchUri(value="http://h/model.bin", extract=False),
    )
    assert (found.task_id, found.agent_id, found.resources, found.role) == (
        "delays.3.2.1",
        "a",
        GIVEN,
        "streaming",
    )
    assert found.environment == {"A": "b"}
    assert found.labels == {
        "team": "x",
        "headgate.job": "delays",
        "headgate.worker": "2",
        "headgate.revision": "ab",
    }
    worker = decode(found.data, WorkerSpec)
    assert (worker.job, worker.worker, worker.task_id) == ("delays", 2, "delays.3.2.1")
    assert (worker.program.file, worker.program.object, worker.program.args) == ("p.py", "stream", {"n": 1})
    assert (worker.delivery, worker.until, worker.rate_limit) == (Delivery.AT_LEAST_ONCE, Until.END, 50.0)
    assert worker.checkpoint.store == "s3://bucket/checkpoints/"


def test_in_an_image_the_installed_command_runs() -> None:
    """The image knows its own Python."""
    spec = job_spec(container=Container(type=ContainerType.MESOS, image="registry/worker:1"))
    assert launch(spec).argv == ("millstream-worker",)
    assert launch(spec).container.image == "registry/worker:1"


def test_a_store_of_its_own_is_used_as_it_is() -> None:
    """No folder is added."""
    found = launch(job_spec(checkpoint=Checkpoint(store="/data/x", interval_s=3.0, keep=2)))
    assert decode(found.data, WorkerSpec).checkpoint.store == "/data/x"
    assert decode(found.data, WorkerSpec).checkpoint.keep == 2


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (job_spec(program=Program(file="p.py", object="s")), "program: it is not bundled"),
        (job_spec(container=Container(type=ContainerType.DOCKER)), "container.image: a container of type docker"),
    ],
)
def test_what_cannot_run_is_said_before(spec: JobSpec, says: str) -> None:
    """At submission, not at launch."""
    (mistake,) = ENGINE.mistakes(spec)
    assert mistake.startswith(says)
    assert ENGINE.mistakes(job_spec()) == ()
