"""Every call in the exact shape of the v1 API."""

import json
from typing import Any

import pytest

from headgate.adapters.mesos_codec import encode_call, encode_subscribe
from headgate.adapters.mesos_codec_launch import command_info, container_info, executor_and_task
from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.model.call import (
    Accept,
    AcceptInverseOffers,
    Acknowledge,
    AcknowledgeOperation,
    AttributeConstraint,
    Call,
    Container,
    ContainerType,
    Decline,
    DeclineInverseOffers,
    FetchUri,
    Framework,
    Kill,
    Launch,
    OperationToReconcile,
    Predicate,
    PseudoAttribute,
    Reconcile,
    ReconcileOperations,
    RequestResources,
    Revive,
    SendMessage,
    ShutdownExecutor,
    Suppress,
    TaskToReconcile,
    Teardown,
    UpdateFramework,
    Volume,
)
from headgate.model.resources import PortRange, Resources

UUID = "kKU/P4gbR/ONRZU0aBaXlg=="
PLAIN = Framework(user="worker", capabilities=("PARTITION_AWARE",))
MULTI = Framework(user="worker", roles=("web", "db"))

CALLS: list[tuple[Call, str]] = [
    (Decline(offer_ids=("O1", "O2")), '"DECLINE","decline":{"offer_ids":[{"value":"O1"},{"value":"O2"}],'
                                      '"filters":{"refuse_seconds":5.0}}'),
    (Accept(offer_ids=("O1",), launches=(), refuse_s=0.5),
     '"ACCEPT","accept":{"offer_ids":[{"value":"O1"}],"filters":{"refuse_seconds":0.5}}'),
    (AcceptInverseOffers(inverse_offer_ids=("O3",), refuse_s=60.0),
     '"ACCEPT_INVERSE_OFFERS","accept_inverse_offers":{"inverse_offer_ids":[{"value":"O3"}],'
     '"filters":{"refuse_seconds":60.0}}'),
    (DeclineInverseOffers(inverse_offer_ids=("O3",), refuse_s=60.0),
     '"DECLINE_INVERSE_OFFERS","decline_inverse_offers":{"inverse_offer_ids":[{"value":"O3"}],'
     '"filters":{"refuse_seconds":60.0}}'),
    (Revive(), '"REVIVE"'),
    (Revive(roles=("web",)), '"REVIVE","revive":{"roles":["web"]}'),
    (Suppress(), '"SUPPRESS"'),
    (Suppress(roles=("web", "db")), '"SUPPRESS","suppress":{"roles":["web","db"]}'),
    (Kill(task_id="t"), '"KILL","kill":{"task_id":{"value":"t"}}'),
    (Kill(task_id="t", agent_id="S0", grace_s=2.5),
     '"KILL","kill":{"task_id":{"value":"t"},"agent_id":{"value":"S0"},'
     '"kill_policy":{"grace_period":{"nanoseconds":2500000000}}}'),
    (ShutdownExecutor(executor_id="e", agent_id="S0"),
     '"SHUTDOWN","shutdown":{"executor_id":{"value":"e"},"agent_id":{"value":"S0"}}'),
    (Acknowledge(agent_id="S0", task_id="t", uuid=UUID),
     '"ACKNOWLEDGE","acknowledge":{"agent_id":{"value":"S0"},"task_id":{"value":"t"},"uuid":"kKU/P4gbR/ONRZU0aBaXlg=="}'),
    (AcknowledgeOperation(operation_id="op", agent_id="S0", uuid=UUID),
     '"ACKNOWLEDGE_OPERATION_STATUS","acknowledge_operation_status":{"operation_id":{"value":"op"},'
     '"agent_id":{"value":"S0"},"uuid":"kKU/P4gbR/ONRZU0aBaXlg=="}'),
    (AcknowledgeOperation(operation_id="op", agent_id="S0", uuid=UUID, resource_provider_id="rp"),
     '"ACKNOWLEDGE_OPERATION_STATUS","acknowledge_operation_status":{"operation_id":{"value":"op"},'
     '"agent_id":{"value":"S0"},"resource_provider_id":{"value":"rp"},"uuid":"kKU/P4gbR/ONRZU0aBaXlg=="}'),
    (Reconcile(), '"RECONCILE","reconcile":{"tasks":[]}'),
    (Reconcile(tasks=(TaskToReconcile(task_id="t", agent_id="S0"), TaskToReconcile(task_id="u"))),
     '"RECONCILE","reconcile":{"tasks":[{"task_id":{"value":"t"},"agent_id":{"value":"S0"}},'
     '{"task_id":{"value":"u"}}]}'),
    (ReconcileOperations(), '"RECONCILE_OPERATIONS","reconcile_operations":{"operations":[]}'),
    (ReconcileOperations(operations=(OperationToReconcile(operation_id="op", agent_id="S0"),)),
     '"RECONCILE_OPERATIONS","reconcile_operations":{"operations":[{"operation_id":{"value":"op"},'
     '"agent_id":{"value":"S0"}}]}'),
    (SendMessage(agent_id="S0", executor_id="e", data=b"\x00\xff"),
     '"MESSAGE","message":{"agent_id":{"value":"S0"},"executor_id":{"value":"e"},"data":"AP8="}'),
    (RequestResources(resources=Resources(cpus_m=1500), agent_id="S0"),
     '"REQUEST","request":{"requests":[{"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1.5}}],'
     '"agent_id":{"value":"S0"}}]}'),
    (Teardown(), '"TEARDOWN"'),
]  # fmt: skip


@pytest.mark.parametrize(("call", "expected"), CALLS, ids=[type(call).__name__ for call, _ in CALLS])
def test_every_call(call: Call, expected: str) -> None:
    """To the letter: the master compares names exactly and ignores what it does not know."""
    encoded = encode_call(call, framework_id="F", framework=PLAIN).decode()
    assert encoded == '{"framework_id":{"value":"F"},"type":' + expected + "}"


def test_subscribe_anew() -> None:
    """A new framework has no id anywhere."""
    framework = Framework(user="worker", failover_timeout_s=60.0, capabilities=("PARTITION_AWARE",))
    assert json.loads(encode_subscribe(UpdateFramework(framework=framework), None)) == {
        "type": "SUBSCRIBE",
        "subscribe": {
            "framework_info": {
                "user": "worker",
                "name": "headgate",
                "failover_timeout": 60.0,
                "checkpoint": True,
                "capabilities": [{"type": "PARTITION_AWARE"}],
                "role": "*",
            }
        },
    }


TERMS = UpdateFramework(
    framework=Framework(
        user="worker",
        roles=("web", "db"),
        capabilities=("MULTI_ROLE",),
        hostname="h",
        principal="p",
        webui_url="http://h:1/",
        labels={"k": "v"},
    ),
    suppressed_roles=("db",),
    offer_constraints={
        "web": (
            (
                AttributeConstraint(attribute="rack", predicate=Predicate.TEXT_EQUALS, value="r1"),
                AttributeConstraint(attribute="gpu", predicate=Predicate.NOT_EXISTS),
            ),
            (
                AttributeConstraint(
                    attribute=PseudoAttribute.HOSTNAME, predicate=Predicate.TEXT_NOT_MATCHES, value="old-.*"
                ),
            ),
        )
    },
)
TERMS_JSON = {
    "framework_info": {
        "user": "worker",
        "name": "headgate",
        "failover_timeout": 604800.0,
        "checkpoint": True,
        "capabilities": [{"type": "MULTI_ROLE"}],
        "roles": ["web", "db"],
        "id": {"value": "F"},
        "hostname": "h",
        "principal": "p",
        "webui_url": "http://h:1/",
        "labels": {"labels": [{"key": "k", "value": "v"}]},
    },
    "suppressed_roles": ["db"],
    "offer_constraints": {
        "role_constraints": {
            "web": {
                "groups": [
                    {
                        "attribute_constraints": [
                            {"selector": {"attribute_name": "rack"}, "predicate": {"text_equals": {"value": "r1"}}},
                            {"selector": {"attribute_name": "gpu"}, "predicate": {"not_exists": {}}},
                        ]
                    },
                    {
                        "attribute_constraints": [
                            {
                                "selector": {"pseudoattribute_type": "HOSTNAME"},
                                "predicate": {"text_not_matches": {"regex": "old-.*"}},
                            }
                        ]
                    },
                ]
            }
        }
    },
}


def test_subscribe_again() -> None:
    """With everything we can say of ourselves; the id is in both places."""
    assert json.loads(encode_subscribe(TERMS, "F")) == {
        "type": "SUBSCRIBE",
        "framework_id": {"value": "F"},
        "subscribe": TERMS_JSON,
    }


def test_update_framework() -> None:
    """The same as at the subscription."""
    assert json.loads(encode_call(TERMS, framework_id="F", framework=PLAIN)) == {
        "framework_id": {"value": "F"},
        "type": "UPDATE_FRAMEWORK",
        "update_framework": TERMS_JSON,
    }


def scalar(name: str, value: float, **more: Any) -> dict[str, Any]:
    """An amount as the API writes it."""
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


WORKER = Launch(
    task_id="delays.0.1.2",
    agent_id="S0",
    name="delays worker 1",
    resources=Resources(
        cpus_m=1000,
        mem_m=512_000,
        disk_m=100_000,
        gpus_m=1000,
        ports=(PortRange(begin=31000, end=31001), PortRange(begin=31005, end=31005)),
    ),
    argv=("millstream-worker", "--verbose"),
    data=b'{"a":1}',
    role="web",
    environment={"K": "V"},
    uris=(
        FetchUri(value="http://h/p.tar.gz"),
        FetchUri(value="/x", extract=False, executable=True, cache=True, output_file="y"),
    ),
    labels={"job": "7"},
    shutdown_grace_s=10.0,
)


def test_launch_of_a_worker() -> None:
    """A task with data on an executor of its own, which gets the least and the task the rest."""
    accept = Accept(offer_ids=("O1", "O2"), launches=(WORKER,), refuse_s=1.0)
    assert json.loads(encode_call(accept, framework_id="F", framework=PLAIN)) == {
        "framework_id": {"value": "F"},
        "type": "ACCEPT",
        "accept": {
            "offer_ids": [{"value": "O1"}, {"value": "O2"}],
            "filters": {"refuse_seconds": 1.0},
            "operations": [
                {
                    "type": "LAUNCH",
                    "launch": {
                        "task_infos": [
                            {
                                "name": "delays worker 1",
                                "task_id": {"value": "delays.0.1.2"},
                                "agent_id": {"value": "S0"},
                                "resources": [
                                    scalar("cpus", 0.99),
                                    scalar("mem", 480.0),
                                    scalar("disk", 100.0),
                                    scalar("gpus", 1.0),
                                    {
                                        "name": "ports",
                                        "type": "RANGES",
                                        "ranges": {
                                            "range": [{"begin": 31000, "end": 31001}, {"begin": 31005, "end": 31005}]
                                        },
                                    },
                                ],
                                "executor": {
                                    "type": "CUSTOM",
                                    "executor_id": {"value": "delays.0.1.2"},
                                    "framework_id": {"value": "F"},
                                    "name": "delays worker 1",
                                    "command": {
                                        "shell": False,
                                        "value": "millstream-worker",
                                        "arguments": ["millstream-worker", "--verbose"],
                                        "environment": {"variables": [{"name": "K", "value": "V"}]},
                                        "uris": [
                                            {
                                                "value": "http://h/p.tar.gz",
                                                "extract": True,
                                                "executable": False,
                                                "cache": False,
                                            },
                                            {
                                                "value": "/x",
                                                "extract": False,
                                                "executable": True,
                                                "cache": True,
                                                "output_file": "y",
                                            },
                                        ],
                                    },
                                    "resources": [scalar("cpus", 0.01), scalar("mem", 32.0)],
                                    "shutdown_grace_period": {"nanoseconds": 10000000000},
                                },
                                "kill_policy": {"grace_period": {"nanoseconds": 10000000000}},
                                "data": "eyJhIjoxfQ==",
                                "labels": {"labels": [{"key": "job", "value": "7"}]},
                            }
                        ]
                    },
                }
            ],
        },
    }


def launched(*launches: Launch, framework: Framework = MULTI, reserved: tuple[ReservedPart, ...] = ()) -> list[Any]:
    """The tasks of an ACCEPT with these launches."""
    accept = Accept(offer_ids=("O1",), launches=launches)
    encoded = json.loads(encode_call(accept, framework_id="F", framework=framework, reserved=reserved))
    return encoded["accept"]["operations"][0]["launch"]["task_infos"]


def test_a_framework_of_many_roles_says_which_one_its_resources_were_offered_to() -> None:
    """On every resource, of the task and of the executor."""
    (task,) = launched(WORKER)
    resources = task["resources"] + task["executor"]["resources"]
    assert len(resources) == 7
    assert all(each["allocation_info"] == {"role": "web"} for each in resources)


def test_reserved_resources_are_named_as_offered_and_used_up_across_launches() -> None:
    """The executor of the first draws first; the second gets what is left, then unreserved ones."""
    worker = Launch(
        task_id="t", agent_id="S0", name="n", resources=Resources(cpus_m=1000), argv=("a",), data=b"", role="web"
    )
    part = ReservedPart(name="cpus", amount_m=1500, identity=(("role", "web"), ("reservation", {"principal": "p"})))
    first, second = launched(worker, worker, framework=PLAIN, reserved=(part,))
    named = {"role": "web", "reservation": {"principal": "p"}}
    assert first["executor"]["resources"] == [scalar("cpus", 0.01, **named)]
    assert first["resources"] == [scalar("cpus", 0.99, **named)]
    assert second["executor"]["resources"] == [scalar("cpus", 0.01, **named)]
    assert second["resources"] == [scalar("cpus", 0.49, **named), scalar("cpus", 0.5)]


@pytest.mark.parametrize(
    ("worker", "executor", "task"),
    [
        (Resources(cpus_m=11, mem_m=32_001), Resources(cpus_m=10, mem_m=32_000), Resources(cpus_m=1, mem_m=1)),
        (Resources(cpus_m=10, mem_m=64_000), Resources(mem_m=32_000), Resources(cpus_m=10, mem_m=32_000)),
        (Resources(cpus_m=1000, mem_m=32_000), Resources(cpus_m=10), Resources(cpus_m=990, mem_m=32_000)),
        (Resources(disk_m=5), Resources(), Resources(disk_m=5)),
    ],
)
def test_the_task_never_gets_nothing(worker: Resources, executor: Resources, task: Resources) -> None:
    """Mesos refuses a task without resources, and lets an executor go without."""
    assert executor_and_task(worker) == (executor, task)


@pytest.mark.parametrize(
    ("type_", "arguments"),
    [
        (ContainerType.NONE, ["prog", "-x", "y"]),
        (ContainerType.MESOS, ["prog", "-x", "y"]),
        (ContainerType.DOCKER, ["-x", "y"]),
    ],
)
def test_docker_wants_other_arguments(type_: ContainerType, arguments: list[str]) -> None:
    """Docker appends them to the program; Mesos takes them as the whole argv."""
    worker = Launch(
        task_id="t",
        agent_id="S0",
        name="n",
        resources=Resources(),
        argv=("prog", "-x", "y"),
        data=b"",
        container=Container(type=type_, image="i"),
    )
    assert command_info(worker) == {"shell": False, "value": "prog", "arguments": arguments}


PORTS = (PortRange(begin=31000, end=31001),)
MAPPINGS = [{"host_port": port, "container_port": port, "protocol": "tcp"} for port in (31000, 31001)]

CONTAINERS: list[tuple[str, Container, dict[str, Any] | None]] = [
    ("a process", Container(), None),
    (
        "a process with a volume",
        Container(volumes=(Volume(container_path="data", host_path="/d", read_only=True),)),
        {
            "type": "MESOS",
            "mesos": {},
            "volumes": [{"container_path": "data", "host_path": "/d", "mode": "RO"}],
        },
    ),
    (
        "Mesos, image",
        Container(type=ContainerType.MESOS, image="python:3.11"),
        {"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": "python:3.11"}}}},
    ),
    ("Mesos, no image", Container(type=ContainerType.MESOS), {"type": "MESOS", "mesos": {}}),
    (
        "Mesos, bridge",
        Container(type=ContainerType.MESOS, network="bridge"),
        {"type": "MESOS", "mesos": {}, "network_infos": [{"name": "mesos-bridge", "port_mappings": MAPPINGS}]},
    ),
    (
        "Mesos, named network",
        Container(type=ContainerType.MESOS, network="dcos"),
        {"type": "MESOS", "mesos": {}, "network_infos": [{"name": "dcos", "port_mappings": MAPPINGS}]},
    ),
    (
        "Docker, host network",
        Container(
            type=ContainerType.DOCKER, image="i", volumes=(Volume(container_path="/data", host_path="/d"),)
        ),
        {
            "type": "DOCKER",
            "docker": {"image": "i", "network": "HOST"},
            "volumes": [{"container_path": "/data", "host_path": "/d", "mode": "RW"}],
        },
    ),
    (
        "Docker, bridge",
        Container(type=ContainerType.DOCKER, image="i", network="bridge"),
        {"type": "DOCKER", "docker": {"image": "i", "network": "BRIDGE", "port_mappings": MAPPINGS}},
    ),
    (
        "Docker, named network",
        Container(type=ContainerType.DOCKER, image="i", network="dcos"),
        {
            "type": "DOCKER",
            "docker": {"image": "i", "network": "USER", "port_mappings": MAPPINGS},
            "network_infos": [{"name": "dcos"}],
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("container", "expected"), [case[1:] for case in CONTAINERS], ids=[case[0] for case in CONTAINERS]
)
def test_containers(container: Container, expected: dict[str, Any] | None) -> None:
    """Who runs it, in which network, with which ports and volumes."""
    assert container_info(container, PORTS) == expected


def test_the_container_belongs_to_the_executor() -> None:
    """The worker is the executor's process."""
    (task,) = launched(
        Launch(
            task_id="t",
            agent_id="S0",
            name="n",
            resources=Resources(cpus_m=1000),
            argv=("a",),
            data=b"",
            role="web",
            container=Container(type=ContainerType.DOCKER, image="i"),
        )
    )
    assert task["executor"]["container"] == {"type": "DOCKER", "docker": {"image": "i", "network": "HOST"}}
    assert "container" not in task
