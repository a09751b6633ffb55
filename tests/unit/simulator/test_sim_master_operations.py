"""Reservations and volumes, by frameworks and by the operator, with their feedback."""

from __future__ import annotations

from typing import Any

import pytest
from sim_master_world import (
    FakeAgent,
    Json,
    Scheduler,
    World,
    amounts,
    kinds,
    launch,
    needs,
    operation,
    reserved,
    scalar,
    task,
)

from headgate.simulator.messages import (
    AcknowledgeOperation,
    ApplyOperation,
    OperationUpdate,
    ReconcileOperations,
    RunTask,
)

CAPABLE = ("MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE")
WHERE = "; on agent {agent} at slave(1)@127.0.0.1:6000 (localhost)"
POOL = (
    "cpus(allocated: web):2; mem(allocated: web):2048; disk(allocated: web):10000; ports(allocated: web):[32000-32100]"
)
DISK = reserved(scalar("disk", 64), "web")


def volume(disk: Json = DISK, identity: str = "v", **more: Any) -> Json:
    return {**disk, "disk": {"persistence": {"id": identity, **more}, "volume": {"container_path": "d", "mode": "RW"}}}


def start(**info: Any) -> tuple[World, FakeAgent, Scheduler, Json]:
    world = World()
    agent = world.agent()
    framework = world.framework(*CAPABLE, **{"roles": ["web"], **info})
    [offer] = framework.offers()
    return world, agent, framework, offer


def finish(agent: FakeAgent, framework: Scheduler | None, message: ApplyOperation) -> Json:
    status: Json = {"state": "OPERATION_FINISHED", "uuid": {"value": "dXVpZA=="}, "agent_id": {"value": agent.id}}
    if "id" in message.operation:
        status["operation_id"] = message.operation["id"]
    framework_id = None if framework is None else framework.id
    agent.send(
        OperationUpdate(
            agent_id=agent.id, framework_id=framework_id, status=status, operation_uuid=message.operation_uuid
        )
    )
    return status


REFUSED: list[tuple[Json, str]] = [
    (
        operation("RESERVE", "o", resources=[reserved(scalar("cpus", 3), "web")]),
        f"{POOL} does not contain cpus(allocated: web):3",
    ),
    (
        operation("RESERVE", "o", resources=[scalar("cpus", 1)]),
        "Resource cpus(allocated: web):1 is not dynamically reserved" + WHERE,
    ),
    (
        operation("RESERVE", "o", resources=[reserved(scalar("cpus", 1), "db")]),
        "A reserve operation was attempted for a resource with role 'db', but the resource was allocated to role 'web'"
        + WHERE,
    ),
    (
        operation("RESERVE", "o", resources=[]),
        "Invalid resources: The resources have multiple resource providers: " + WHERE,
    ),
    (
        operation("RESERVE", "o", resources=[reserved(scalar("cpus", -1), "web")]),
        "Operation attempted with invalid resources: Resource 'cpus(reservations: [(DYNAMIC,web)]):-1' is invalid:"
        " Invalid scalar resource: value <= 0",
    ),
    (
        operation("RESERVE", "o", resources=[DISK], source=[scalar("disk", 64)]),
        "Operation attempted with invalid resources:"
        " Reservation updates are not yet implemented for the scheduler API.",
    ),
    (
        {"type": "RESERVE", "id": {"value": "o"}},
        "Operation attempted with invalid resources:"
        " A RESERVE offer operation must have the Offer.Operation.reserve field set.",
    ),
    (
        {"type": "UNRESERVE", "id": {"value": "o"}},
        "Operation attempted with invalid resources:"
        " An UNRESERVE offer operation must have the Offer.Operation.unreserve field set.",
    ),
    (
        operation("UNRESERVE", "o", resources=[reserved(scalar("cpus", 1), "web")]),
        f"{POOL} does not contain cpus(allocated: web)(reservations: [(DYNAMIC,web)]):1",
    ),
    (
        operation("CREATE", "o", volumes=[volume(scalar("disk", 64))]),
        "Invalid resources: Invalid DiskInfo: Persistent volumes cannot be created from unreserved resources" + WHERE,
    ),
    (
        operation("CREATE", "o", volumes=[DISK]),
        "Not a persistent volume: Resource disk(allocated: web)(reservations: [(DYNAMIC,web)]):64"
        " does not have DiskInfo" + WHERE,
    ),
    (
        operation("CREATE", "o", volumes=[{**volume(), "shared": {}}]),
        "Create volume operation for 'disk(allocated: web)(reservations: [(DYNAMIC,web)])[v:d]<SHARED>:64' has been"
        " attempted by framework '{framework}' with no SHARED_RESOURCES capability" + WHERE,
    ),
    (operation("DESTROY", "o", volumes=[volume()]), "Persistent volumes not found" + WHERE),
    (
        operation("GROW_VOLUME", "o", volume=volume(), addition=scalar("disk", 0)),
        "The size of 'GrowVolume.addition' field must be greater than zero" + WHERE,
    ),
    (
        operation("GROW_VOLUME", "o", volume=volume(), addition=reserved(scalar("disk", 1), "web")),
        f"Invalid GROW_VOLUME operation: {POOL} does not contain"
        " disk(allocated: web)(reservations: [(DYNAMIC,web)])[v:d]:64; disk(allocated: web)(reservations:"
        " [(DYNAMIC,web)]):1",
    ),
    (
        operation("SHRINK_VOLUME", "o", volume=volume(), subtract={"value": 64}),
        "Value of 'ShrinkVolume.subtract' must be smaller than the size of 'ShrinkVolume.volume'" + WHERE,
    ),
    (
        operation("CREATE_DISK", "o", source=DISK, target_type="MOUNT"),
        "'source' is not managed by a resource provider" + WHERE,
    ),
]


@pytest.mark.parametrize(("wanted", "message"), REFUSED)
def test_a_refused_operation_is_an_error_event_if_it_has_an_id(wanted: Json, message: str) -> None:
    world, agent, framework, offer = start()
    framework.accept([offer], wanted, refuse=0)
    [event] = framework.fresh()
    status = event["update_operation_status"]["status"]
    text = message.replace("{agent}", agent.id).replace("{framework}", framework.id)
    assert status == {"operation_id": {"value": "o"}, "state": "OPERATION_ERROR", "message": text}
    world.advance(1)
    [offer] = framework.offers()
    nameless = {key: value for key, value in wanted.items() if key != "id"}
    framework.accept([offer], nameless, refuse=0)
    assert framework.fresh() == []
    assert agent.take(ApplyOperation) == []


PRINCIPALS: list[tuple[Json, str]] = [
    (
        {},
        "A reserve operation was attempted by principal 'p', but there is a reserved resource in the request with no"
        " principal set",
    ),
    (
        {"principal": "q"},
        "A reserve operation was attempted by authenticated principal 'p', which does not match a reserved resource in"
        " the request with principal 'q'",
    ),
]


@pytest.mark.parametrize(("more", "message"), PRINCIPALS)
def test_reservations_carry_the_frameworks_principal(more: Json, message: str) -> None:
    _, agent, framework, offer = start(principal="p")
    framework.accept([offer], operation("RESERVE", "o", resources=[reserved(scalar("cpus", 1), "web", **more)]))
    [event] = framework.fresh()
    assert event["update_operation_status"]["status"]["message"] == message + WHERE.replace("{agent}", agent.id)


def test_operations_of_an_unknown_type_are_passed_over() -> None:
    _, _, framework, offer = start()
    framework.accept([offer], {"type": "JUGGLE", "id": {"value": "o"}}, {"id": {"value": "o"}}, {"type": "LAUNCH"})
    assert framework.fresh() == []


def test_spoiled_offers_are_an_error_for_operations_with_an_id() -> None:
    _, _, framework, _ = start()
    framework.call("ACCEPT", offer_ids=[{"value": "no"}], operations=[operation("RESERVE", "o", resources=[DISK])])
    [event] = framework.fresh()
    assert event["update_operation_status"]["status"]["message"] == (
        "Operation attempted with invalid offers: Offer no is no longer valid"
    )


def test_operations_and_launches_work_on_one_pool_in_order() -> None:
    world, agent, framework, offer = start()
    part = reserved(scalar("cpus", 1.5), "web")
    framework.accept(
        [offer],
        operation("RESERVE", "o1", resources=[part]),
        operation("RESERVE", "o2", resources=[part]),
        launch(task("t1", offer, [reserved(scalar("cpus", 0.2), "web"), scalar("mem", 32)], command={"value": "x"})),
        launch(task("t2", offer, needs(cpus=1.0), command={"value": "x"})),
        refuse=0,
    )
    failed, refused = framework.fresh()
    assert failed["update_operation_status"]["status"]["operation_id"] == {"value": "o2"}
    assert refused["update"]["status"]["task_id"] == {"value": "t2"}
    assert [message.operation["id"]["value"] for message in agent.take(ApplyOperation)] == ["o1"]
    assert len(agent.take(RunTask)) == 1
    world.advance(1)
    [rest] = framework.offers()
    found = {"reservations" in item: item["scalar"]["value"] for item in rest["resources"] if item["name"] == "cpus"}
    assert found == {True: 1.3, False: 0.5}


def test_feedback_is_forwarded_until_it_is_acknowledged() -> None:
    _, agent, framework, offer = start()
    framework.accept([offer], operation("RESERVE", "o", resources=[reserved(scalar("cpus", 1), "web")]))
    [message] = agent.take(ApplyOperation)
    status = finish(agent, framework, message)
    [event] = framework.fresh()
    assert event == {"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status": status}}
    named = {"operation_id": {"value": "o"}, "agent_id": {"value": agent.id}}
    framework.call("RECONCILE_OPERATIONS", operations=[named])
    framework.call("RECONCILE_OPERATIONS", operations=[])
    first, second = framework.fresh()
    assert first == second
    assert first["update_operation_status"]["status"] == {k: v for k, v in status.items() if k != "uuid"}
    framework.call("ACKNOWLEDGE_OPERATION_STATUS", **named, uuid="b3RoZXI=")
    assert agent.take(AcknowledgeOperation) == []
    framework.call("ACKNOWLEDGE_OPERATION_STATUS", **named, uuid="dXVpZA==")
    assert len(agent.take(AcknowledgeOperation)) == 1
    framework.call("RECONCILE_OPERATIONS", operations=[named])
    [event] = framework.fresh()
    assert event["update_operation_status"]["status"]["message"] == "Reconciliation: Operation is unknown"


def test_feedback_on_operations_without_an_id_is_acknowledged_by_the_master() -> None:
    _, agent, framework, offer = start()
    framework.accept([offer], operation("RESERVE", resources=[reserved(scalar("cpus", 1), "web")]))
    [message] = agent.take(ApplyOperation)
    finish(agent, framework, message)
    assert framework.fresh() == []
    assert len(agent.take(AcknowledgeOperation)) == 1


def test_feedback_for_a_framework_that_is_gone_is_acknowledged_by_the_master() -> None:
    _, agent, framework, offer = start()
    framework.accept([offer], operation("RESERVE", "o", resources=[reserved(scalar("cpus", 1), "web")]))
    [message] = agent.take(ApplyOperation)
    framework.call("TEARDOWN")
    finish(agent, framework, message)
    assert len(agent.take(AcknowledgeOperation)) == 1


@pytest.mark.parametrize(
    ("agent", "state", "text"),
    [
        (None, "OPERATION_UNKNOWN", "Operation is unknown and no 'agent_id' was provided"),
        ("this", "OPERATION_UNKNOWN", "Operation is unknown"),
        ("X", "OPERATION_UNKNOWN", "Both operation and agent are unknown"),
    ],
)
def test_reconciling_unknown_operations(agent: str | None, state: str, text: str) -> None:
    _, known, framework, _ = start()
    agent_id = known.id if agent == "this" else agent
    item: Json = {"operation_id": {"value": "o"}} | ({"agent_id": {"value": agent_id}} if agent_id else {})
    framework.call("RECONCILE_OPERATIONS", operations=[item])
    [event] = framework.fresh()
    status = event["update_operation_status"]["status"]
    assert (status["state"], status["message"]) == (state, f"Reconciliation: {text}")


def test_operations_of_a_resource_provider_are_asked_of_the_agent() -> None:
    _, agent, framework, _ = start()
    item = {"operation_id": {"value": "o"}, "resource_provider_id": {"value": "p"}}
    framework.call("RECONCILE_OPERATIONS", operations=[{**item, "agent_id": {"value": agent.id}}])
    [message] = agent.take(ReconcileOperations)
    assert message.operations == (item,)
    status = {**item, "state": "OPERATION_UNKNOWN", "agent_id": {"value": agent.id}}
    agent.send(OperationUpdate(agent_id=agent.id, framework_id=framework.id, status=status, operation_uuid=""))
    [event] = framework.fresh()
    assert event["update_operation_status"]["status"] == status


def test_pending_operations_of_a_lost_agent_are_told() -> None:
    world, agent, framework, offer = start()
    framework.accept([offer], operation("RESERVE", "o", resources=[reserved(scalar("cpus", 1), "web")]))
    world.operator("MARK_AGENT_GONE", agent_id={"value": agent.id})
    first = framework.fresh()[0]["update_operation_status"]["status"]
    assert (first["state"], first["message"]) == ("OPERATION_GONE_BY_OPERATOR", "Agent has been marked gone")


# --- volumes -----------------------------------------------------------------------------------------------------


def with_volume(**more: Any) -> tuple[World, FakeAgent, Scheduler, Json]:
    world, agent, framework, offer = start(**more)
    framework.accept([offer], operation("RESERVE", resources=[DISK]), operation("CREATE", volumes=[volume()]), refuse=0)
    world.advance(1)
    [offer] = framework.offers()
    assert [item["disk"]["persistence"]["id"] for item in offer["resources"] if "disk" in item] == ["v"]
    return world, agent, framework, offer


def test_a_volume_is_used_whole_and_comes_back() -> None:
    world, agent, framework, offer = with_volume()
    framework.accept([offer], launch(task("t", offer, [*needs(), volume()], command={"value": "x"})), refuse=0)
    world.advance(1)
    assert not any("disk" in item for item in framework.offers()[0]["resources"])
    agent.update(framework, "t", "TASK_FINISHED")
    framework.statuses()
    world.advance(1)
    assert any("disk" in item for item in framework.offers()[0]["resources"])


def test_a_volume_must_be_destroyed_before_it_is_unreserved() -> None:
    world, agent, framework, offer = with_volume()
    framework.accept([offer], operation("UNRESERVE", "o", resources=[volume()]), refuse=0)
    [event] = framework.fresh()
    assert event["update_operation_status"]["status"]["message"] == (
        "A dynamically reserved persistent volume disk(allocated: web)(reservations: [(DYNAMIC,web)])[v:d]:64 cannot be"
        " unreserved directly. Please destroy the persistent volume first then unreserve the resource"
        + WHERE.replace("{agent}", agent.id)
    )
    world.advance(1)
    [offer] = framework.offers()
    framework.accept(
        [offer], operation("DESTROY", volumes=[volume()]), operation("UNRESERVE", resources=[DISK]), refuse=0
    )
    world.advance(1)
    assert amounts(framework.offers()[0])["disk"] == 10000.0


def test_a_volumes_id_is_unique_for_its_role() -> None:
    _, agent, framework, offer = with_volume()
    framework.accept([offer], operation("RESERVE", resources=[DISK]), operation("CREATE", "o", volumes=[volume()]))
    [event] = framework.fresh()
    text = "Persistence ID 'v' is not unique" + WHERE.replace("{agent}", agent.id)
    assert event["update_operation_status"]["status"]["message"] == text


def test_a_volume_grows_and_shrinks() -> None:
    world, _, framework, offer = with_volume()
    addition = reserved(scalar("disk", 36), "web")
    framework.accept(
        [offer],
        operation("RESERVE", resources=[addition]),
        operation("GROW_VOLUME", volume=volume(), addition=addition),
        refuse=0,
    )
    world.advance(1)
    [offer] = framework.offers()
    big = volume(reserved(scalar("disk", 100), "web"))
    assert [item["scalar"]["value"] for item in offer["resources"] if "disk" in item] == [100.0]
    framework.accept([offer], operation("SHRINK_VOLUME", volume=big, subtract={"value": 90}), refuse=0)
    world.advance(1)
    [offer] = framework.offers()
    assert [item["scalar"]["value"] for item in offer["resources"] if "disk" in item] == [10.0]


def test_a_shared_volume_serves_several_tasks_at_once() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework(*CAPABLE, "SHARED_RESOURCES", roles=["web"])
    [offer] = framework.offers()
    shared = {**volume(), "shared": {}}
    framework.accept(
        [offer],
        operation("RESERVE", resources=[DISK]),
        operation("CREATE", volumes=[shared]),
        launch(*(task(name, offer, [*needs(), shared], command={"value": "x"}) for name in ("a", "b"))),
        refuse=0,
    )
    assert framework.fresh() == []
    assert len(agent.take(RunTask)) == 2
    world.advance(1)
    [offer] = framework.offers()
    assert any("shared" in item for item in offer["resources"]), "in use and on offer"
    framework.accept([offer], operation("DESTROY", "o", volumes=[shared]), refuse=0)
    [event] = framework.fresh()
    assert event["update_operation_status"]["status"]["message"].startswith("Persistent volumes in use")
    for name in ("a", "b"):
        agent.update(framework, name, "TASK_FINISHED")
    framework.statuses()
    world.advance(1)
    total = world.get("/slaves")["slaves"][0]
    assert total["used_resources"]["disk"] == 0.0
    assert total["resources"]["disk"] == 10000.0


# --- the operator ------------------------------------------------------------------------------------------------


def test_the_operator_takes_offers_back_for_what_he_needs() -> None:
    world, agent, framework, _ = start()
    part = reserved(scalar("cpus", 0.5), "db")
    reply = world.operator("RESERVE_RESOURCES", agent_id={"value": agent.id}, resources=[part])
    assert reply.status == 202
    assert kinds(framework.fresh()) == ["RESCIND"]
    world.advance(6)
    assert amounts(framework.offers()[0])["cpus"] == 1.5
    assert world.get("/state")["slaves"][0]["reserved_resources"] == {
        "db": {"cpus": 0.5, "gpus": 0.0, "mem": 0.0, "disk": 0.0}
    }
    reply = world.operator("UNRESERVE_RESOURCES", agent_id={"value": agent.id}, resources=[part])
    assert reply.status == 202
    assert len(agent.take(ApplyOperation)) == 2


OPERATOR_REFUSED: list[tuple[str, Json, int, str]] = [
    (
        "RESERVE_RESOURCES",
        {"agent_id": {"value": "X"}, "resources": []},
        400,
        "No agent found with specified ID",
    ),
    (
        "RESERVE_RESOURCES",
        {"resources": [scalar("cpus", 1)]},
        400,
        "Invalid RESERVE operation on agent {agent} at slave(1)@127.0.0.1:6000 (localhost):"
        " Resource cpus:1 is not dynamically reserved",
    ),
    (
        "RESERVE_RESOURCES",
        {"resources": [scalar("cpus", -1)]},
        400,
        "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0",
    ),
    (
        "RESERVE_RESOURCES",
        {"resources": [reserved(scalar("cpus", 50), "db")]},
        409,
        "cpus:2; mem:2048; disk:10000; ports:[32000-32100] does not contain cpus:50",
    ),
    (
        "UNRESERVE_RESOURCES",
        {"resources": [scalar("cpus", 1)]},
        400,
        "Invalid UNRESERVE operation: Resource cpus:1 is not dynamically reserved",
    ),
    ("DESTROY_VOLUMES", {"volumes": [volume()]}, 400, "Invalid DESTROY operation: Persistent volumes not found"),
]


@pytest.mark.parametrize(("kind", "body", "code", "text"), OPERATOR_REFUSED)
def test_the_operator_is_refused_with_mesos_words(kind: str, body: Json, code: int, text: str) -> None:
    world = World()
    agent = world.agent()
    reply = world.operator(kind, **{"agent_id": {"value": agent.id}, **body})
    assert (reply.status, reply.body) == (code, text.replace("{agent}", agent.id))
