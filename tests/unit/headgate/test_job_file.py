"""Job files: what is read from good ones, and what is said about bad ones."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from headgate.core.job_file import read_job
from headgate.model.call import Container, ContainerType, FetchUri, Volume
from headgate.model.job import (
    DEFAULT_REQUEST,
    Checkpoint,
    JobSpec,
    Keep,
    Operator,
    Placement,
    Program,
    Restart,
    Workers,
)
from headgate.model.resources import Request
from millstream.contract.worker_spec import Delivery, Until

LEAST = {"name": "delays", "program": {"file": "delays.py"}}


def mistakes_in(text: str) -> list[str]:
    read = read_job({**LEAST, **yaml.safe_load(text)})
    assert not isinstance(read, JobSpec), read
    return [str(mistake) for mistake in read]


def job(text: str) -> JobSpec:
    read = read_job({**LEAST, **yaml.safe_load(text)})
    assert isinstance(read, JobSpec), [str(each) for each in read]
    return read


def test_the_least_job_has_every_default() -> None:
    read = read_job(LEAST)
    assert read == JobSpec(name="delays", program=Program(file="delays.py"))
    assert isinstance(read, JobSpec)
    assert read.worker == DEFAULT_REQUEST
    assert read.workers == Workers(min=1, max=1, initial=1)


def test_a_full_job_is_read_as_written() -> None:
    read = job("""
        role: streaming
        engine: millstream
        program: {file: lib/delays.py, object: build, include: ["lib/*.py"], args: {threshold: 3, names: [a, null]}}
        container:
          type: mesos
          image: python:3.11
          network: calico
          volumes: [{container_path: /data, host_path: /srv/data, read_only: true}]
          fetch: [{uri: "http://x/model.bin", extract: false, cache: true, output_file: model}]
        env: {MODE: fast, PORT: 8080}
        labels: {team: air}
        worker: {cpus: 0.5, mem: 1.5GiB, disk: 0, gpus: 2}
        workers: {min: 2, max: 16, initial: 4}
        rate_limit: 1000
        placement:
          - {attribute: rack, operator: group_by, value: 3}
          - {attribute: hostname, operator: unique, weight: 0.5}
        checkpoint: {store: "file:///mnt/state", interval: 500ms, keep: 3}
        delivery: at-least-once
        scaling: {enabled: false, catch_up: 1h30m, utilization: 0.5, cooldown_down: 0}
        restart: {backoff: 2, backoff_max: 1m, healthy_after: 1d, give_up_after: 5}
        unreachable: {replace_after: 45}
        until: end
    """)
    assert read.program == Program(
        file="lib/delays.py", object="build", include=("lib/*.py",), args={"threshold": 3, "names": ["a", None]}
    )
    assert read.container == Container(
        type=ContainerType.MESOS,
        image="python:3.11",
        network="calico",
        volumes=(Volume(container_path="/data", host_path="/srv/data", read_only=True),),
    )
    assert read.fetch == (FetchUri(value="http://x/model.bin", extract=False, cache=True, output_file="model"),)
    assert (read.role, read.env, read.labels) == ("streaming", {"MODE": "fast", "PORT": "8080"}, {"team": "air"})
    assert read.worker == Request(cpus_m=500, mem_m=1_536_000, disk_m=0, gpus_m=2000)
    assert read.workers == Workers(min=2, max=16, initial=4)
    assert read.rate_limit == 1000.0
    assert read.placement == (
        Placement(attribute="rack", operator=Operator.GROUP_BY, value="3"),
        Placement(attribute="hostname", operator=Operator.UNIQUE, weight=0.5),
    )
    assert read.checkpoint == Checkpoint(store="file:///mnt/state", interval_s=0.5, keep=3)
    assert read.delivery is Delivery.AT_LEAST_ONCE
    assert (read.scaling.enabled, read.scaling.catch_up_s, read.scaling.cooldown_down_s) == (False, 5400.0, 0.0)
    assert read.restart == Restart(backoff_s=2.0, backoff_max_s=60.0, healthy_after_s=86400.0, give_up_after=5)
    assert read.unreachable_replace_after_s == 45.0
    assert read.until is Until.END


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workers: {min: 3}", Workers(min=3, max=3, initial=3)),
        ("workers: {max: 3}", Workers(min=1, max=3, initial=1)),
        ("workers: {initial: 2}", Workers(min=1, max=2, initial=2)),
        ("workers: {min: 2, max: 5}", Workers(min=2, max=5, initial=2)),
    ],
)
def test_numbers_of_workers_left_out_follow_those_given(text: str, expected: Workers) -> None:
    assert job(text).workers == expected


def test_null_means_the_default_where_the_default_is_nothing() -> None:
    assert job("{rate_limit: null, restart: {give_up_after: null}}") == read_job(LEAST)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workers: {max: many}", "workers.max: 'many' is not a whole number"),
        ("workers: {max: true}", "workers.max: true is not a whole number"),
        ("workers: {max: 0}", "workers.max: 0 is out of bounds; write a whole number from 1 to 100000"),
        ("wrkers: {}", "wrkers: unknown field; did you mean workers?"),
        ("workers: {maxi: 2}", "workers.maxi: unknown field; did you mean max?"),
        ("workers: {zzz: 2}", "workers.zzz: unknown field; there are: min, max, initial, gang"),
        ("workers: 3", "workers: 3 is not a mapping; write its fields, such as min, max, one per line as name: value"),
        ("workers:", "workers: has no value; give it one, or leave the line out"),
        ("worker: {mem: 1GiBB}", "worker.mem: '1GiBB' is not an amount; write 512MiB or 1GiB"),
        ("worker: {mem: 1GB}", "worker.mem: '1GB' is not an amount; write 1GiB"),
        ("worker: {mem: 512m}", "worker.mem: '512m' is not an amount; write 512MiB"),
        ("worker: {mem: 0}", "worker.mem: 0 is nothing; write an amount above zero, such as 512MiB"),
        ("worker: {mem: -1}", "worker.mem: -1 is not an amount; write 512MiB or 1GiB"),
        ("worker: {cpus: .nan}", "worker.cpus: nan is out of bounds; write a number above 0 and at most 1024"),
        ("worker: {cpus: '1'}", "worker.cpus: '1' is not a number"),
        ("worker: {gpus: 0.5}", "worker.gpus: 0.5 is not a whole number"),
        ("rate_limit: 0", "rate_limit: 0 is out of bounds; write a number above 0"),
        ("scaling: {catch_up: 2 weeks}",
         "scaling.catch_up: '2 weeks' is not a duration; write 500ms, 30s, 5m, 2h or 1d"),
        (
            "checkpoint: {interval: 0s}",
            "checkpoint.interval: '0s' is no time at all; write a duration above zero, such as 30s",
        ),
        ("scaling: {enabled: 1}", "scaling.enabled: 1 is neither true nor false"),
        ("delivery: exactly_once", "delivery: 'exactly_once' is not one of the choices; did you mean exactly-once?"),
        ("until: no", "until: false is not one of the choices; there are: forever, end"),
        ("env: {DEBUG: yes}", "env.DEBUG: true is not a text; put it in quotes"),
        ("env: {VERSION: 1.10}", "env.VERSION: 1.1 is not a text; put it in quotes"),
        ("env: [A]", "env: a list is not a mapping; write name: value"),
        ("placement: {attribute: a}",
         "placement: a mapping is not a list; write each item on a line of its own after a dash"),
        (
            "placement: [{attribute: rack, operator: UNIQUE}]",
            "placement[0].operator: 'UNIQUE' is not one of the choices; did you mean unique?",
        ),
        (
            "placement: [{attribute: rack, operator: like}]",
            "placement[0].value: is missing; like needs a regular expression the attribute must match",
        ),
        (
            "placement: [{attribute: rack, operator: like, value: '('}]",
            "placement[0].value: '(' is not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        (
            "placement: [{attribute: rack, operator: like, value: 'r(?=1)'}]",
            "placement[0].value: 'r(?=1)' uses (?=, which the regular expressions of Mesos (RE2) do not have; "
            "write it without look-around and back-references",
        ),
        (
            "placement: [{attribute: rack, operator: unlike, value: '(a+)+b'}]",
            "placement[0].value: '(a+)+b' repeats what is itself a repetition or a choice, which could be "
            "tried for ever; write it without, such as [ab]+ for (a|b)+",
        ),
        (
            "strategy: spred",
            "strategy: 'spred' is not one of the choices; did you mean spread?",
        ),
        (
            "placement: [{attribute: rack, operator: max_per, value: some}]",
            "placement[0].value: 'some' is not a count; max_per takes a whole number from 1",
        ),
        ("placement: [{attribute: rack, operator: unique, value: 1}]",
         "placement[0].value: unique takes no value; leave it out"),
        ("engine: flink", "engine: 'flink' is not supported yet; write millstream"),
        ("engine: milstream", "engine: 'milstream' is not one of the choices; did you mean millstream?"),
        ("secrets: {A: {}}",
         "secrets: not supported yet; leave it out, and mount what is secret as a file with container.volumes"),
        ("upgrade: {canary: 1}",
         "upgrade: not supported yet; leave it out; to change a job, cancel it and submit it again"),
        ("program: {object: stream}",
         "program.file: is missing; it is the Python file of the program, relative to the job file"),
        (
            "program: {file: ../delays.py}",
            "program.file: '../delays.py' is not a Python file below the job file's folder; "
            "write a relative path such as stream.py, without ..",
        ),
        ("program: {file: a.py, args: {since: 2024-01-01}}",
         "program.args.since: 2024-01-01 is not something JSON can say; put it in quotes"),
        ("program: {file: a.py, args: {x: {1: a}}}", "program.args.x: the name 1 is not a text; put it in quotes"),
        (
            "checkpoint: {store: state}",
            "checkpoint.store: 'state' is not a place this version can keep checkpoints in; "
            "write an absolute path, or file:// and one, that every agent sees",
        ),
        (
            "container: {image: python}",
            "container.image: a worker without a container has not got an image; write container.type: mesos or docker",
        ),
        (
            "container: {network: bridge}",
            "container.network: a worker without a container has not got a network of its own; "
            "write container.type: mesos or docker",
        ),
        (
            "container: {type: docker}",
            "container.image: is missing; write the image for container.type: docker, or leave the container out",
        ),
        (
            "container: {type: mesos}",
            "container.image: is missing; write the image for container.type: mesos, or leave the container out",
        ),
        ("worker: {ports: many}", "worker.ports: 'many' is not a whole number"),
        ("worker: {ports: [web, web]}", "worker.ports: 'web' stands there twice; give each its own name"),
        (
            "worker: {ports: [Web]}",
            "worker.ports[0]: 'Web' is not the name of a port; "
            "write lowercase letters, digits and dashes, beginning with a letter",
        ),
        ("worker: {mem: 4}",
         "worker.mem: 4MiB is too little for a worker; write at least 64MiB (a bare number is MiB)"),
        (
            "{worker: {gpus: 1}, container: {type: docker, image: x}}",
            "worker.gpus: Mesos's Docker containerizer passes no GPU devices into a container; "
            "write container.type: mesos, which runs the same image",
        ),
        ("workers: {min: 5, max: 2}", "workers.max: 2 is less than workers.min, 5; raise max or lower min"),
        ("workers: {max: 2, initial: 3}", "workers.initial: 3 is not between workers.min, 1, and workers.max, 2"),
        ("restart: {backoff: 10m}",
         "restart.backoff: 600s is more than restart.backoff_max, 300s; raise backoff_max or lower backoff"),
    ],
)  # fmt: skip
def test_a_mistake_says_where_what_and_how_to_mend(text: str, expected: str) -> None:
    assert mistakes_in(text) == [expected]


@pytest.mark.parametrize("name", ["Delays", "-a", "a-", "a_b", "a.b", "", "a" * 64])
def test_a_name_is_a_dns_label(name: str) -> None:
    read = read_job({**LEAST, "name": name})
    assert not isinstance(read, JobSpec)
    assert str(read[0]).startswith(f"name: {name[:56]!r}"[:50])
    assert "is not a DNS label" in str(read[0])


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 63])
def test_a_dns_label_is_a_name(name: str) -> None:
    assert isinstance(read_job({**LEAST, "name": name}), JobSpec)


@pytest.mark.parametrize("role", ["a b", "-a", ".", "..", "/a", "a/", ""])
def test_a_role_that_mesos_refuses_is_refused_here(role: str) -> None:
    read = read_job({**LEAST, "role": role})
    assert not isinstance(read, JobSpec)
    assert "is not a Mesos role" in str(read[0])


@pytest.mark.parametrize("file", ["/abs.py", "a/../../b.py", "..", "a.txt", "a\\b.py", "../b.py"])
def test_a_program_lies_below_the_job_file(file: str) -> None:
    read = read_job({**LEAST, "program": {"file": file}})
    assert not isinstance(read, JobSpec)
    assert read[0].path == ("program", "file")


def test_all_mistakes_come_at_once() -> None:
    found = mistakes_in("{name: A, workers: {min: x, max: y}, env: {1a: b}, until: maybe}")
    assert [line.split(":")[0] for line in found] == ["name", "env.1a", "workers.min", "workers.max", "until"]


@pytest.mark.parametrize("document", [None, [], "job", 3, True])
def test_what_is_no_mapping_is_no_job(document: Any) -> None:
    read = read_job(document)
    assert not isinstance(read, JobSpec)
    assert "is not a mapping; write its fields, such as name, program" in str(read[0])


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("worker: {cpus: 1}", None),
        ("worker: {reserve: false}", None),
        ("worker: {reserve: true}", Keep()),
        ("worker: {reserve: true, abandon_after: 1h}", Keep(abandon_after_s=3600.0)),
        ("worker: {volume: {size: 10GiB, path: state/db}}", Keep(volume_m=10_240_000, path="state/db")),
    ],
)
def test_what_a_worker_keeps(text: str, keep: Keep | None) -> None:
    assert job(f"{text}\nrole: web").keep == keep


def test_extra_workers_on_revocable_resources() -> None:
    assert job("worker: {revocable: true}").revocable
    assert not job("worker: {cpus: 1}").revocable


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("worker: {reserve: true}", "role: Mesos reserves nothing for *"),
        ("worker: {reserve: false, volume: {size: 1, path: a}}\nrole: web", "worker.reserve: a worker with a volume"),
        ("worker: {reserve: true, revocable: true}\nrole: web", "worker.revocable: what may be taken away"),
        ("worker: {volume: {size: 1GiB, path: /state}}\nrole: web", "worker.volume.path: '/state' is not a path below"),
        ("worker: {volume: {size: 1GiB, path: a/../b}}\nrole: web", "worker.volume.path: 'a/../b' is not a path below"),
        ("worker: {volume: {path: a}}\nrole: web", "worker.volume.size: is missing"),
        ("worker: {reserve: true}\nworkers: {gang: true}\nrole: web", "workers.gang: a gang starts on plain resources"),
    ],
)
def test_what_cannot_be_kept(text: str, mistake: str) -> None:
    (found,) = mistakes_in(text)
    assert found.startswith(mistake)
