"""ACCEPTs that reserve, give back, and launch on what is reserved or revocable: the operations as Mesos reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from headgate.adapters.mesos_codec import encode_call
from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.model.call import Accept, Framework, Launch, Reserve, Unreserve
from headgate.model.ids import AgentId, FrameworkId, OfferId, OperationId, ReservationId, TaskId
from headgate.model.resources import Resources

ID = ReservationId("j.1.0.0")
LABELS = {"labels": [{"key": "headgate.reservation", "value": ID}]}
RESERVE = Reserve(
    id=ID,
    role="eng/web",
    resources=Resources(cpus_m=1000, mem_m=64_000, disk_m=300_000),
    labels={"headgate.reservation": ID},
    operation_id=OperationId("r"),
    volume_m=200_000,
    volume_path="state",
    volume_operation_id=OperationId("c"),
)
KEPT = Launch(
    task_id=TaskId("t"),
    agent_id=AgentId("S0"),
    name="n",
    resources=Resources(cpus_m=1000, mem_m=64_000, disk_m=100_000),
    argv=("a",),
    data=b"",
    role="eng/web",
    reservation=ID,
)
OURS = {"type": "DYNAMIC", "role": "eng/web", "labels": LABELS}


def operations(accept: Accept, *parts: ReservedPart, principal: str | None = None) -> list[dict[str, Any]]:
    framework = Framework(user="u", roles=("eng/web",), principal=principal)
    body = json.loads(encode_call(accept, framework_id=FrameworkId("F"), framework=framework, reserved=parts))
    found: list[dict[str, Any]] = body["accept"]["operations"]
    return found


def amounts(resources: list[dict[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in resources:
        found[each["name"]] = found.get(each["name"], 0.0) + each["scalar"]["value"]
    return found


def accept(**more: Any) -> Accept:
    return Accept(offer_ids=(OfferId("O1"),), **more)


@pytest.mark.parametrize("principal", [None, "p"])
def test_reserve_create_and_launch_in_one_accept(principal: str | None) -> None:
    """What is reserved is what the volume is made of and what the task runs on; the principal is on both."""
    reserve, create, launch = operations(accept(reserve=(RESERVE,), launches=(KEPT,)), principal=principal)
    ours = {**OURS, **({"principal": principal} if principal else {})}
    reserved = reserve["reserve"]["resources"]
    assert (reserve["type"], reserve["id"]) == ("RESERVE", {"value": "r"})
    assert amounts(reserved) == {"cpus": 1.0, "mem": 64.0, "disk": 300.0}
    assert all(each["reservations"] == [ours] for each in reserved)
    assert all(each["allocation_info"] == {"role": "eng/web"} for each in reserved)
    (volume,) = create["create"]["volumes"]
    assert (create["type"], create["id"]) == ("CREATE", {"value": "c"})
    assert volume["disk"] == {
        "persistence": {"id": ID, **({"principal": principal} if principal else {})},
        "volume": {"container_path": "state", "mode": "RW"},
    }
    assert (volume["scalar"], volume["reservations"]) == ({"value": 200.0}, [ours])
    (task,) = launch["launch"]["task_infos"]
    assert "id" not in launch
    used = task["resources"] + task["executor"]["resources"]
    assert volume in task["executor"]["resources"]
    assert all(each["reservations"] == [ours] for each in used)
    assert amounts(used) == {"cpus": 1.0, "mem": 64.0, "disk": 300.0}


def test_a_reservation_refines_that_of_a_role_above_and_no_other() -> None:
    """What an operator gave the very role cannot be reserved for it again; what it gave to a role above can."""
    static = {"type": "STATIC", "role": "eng"}
    above = ReservedPart(name="cpus", amount_m=400, identity=(("reservations", [static]),))
    same = ReservedPart(name="cpus", amount_m=9000, identity=(("role", "eng/web"),), pledged=True)
    small = ReservedPart(name="disk", amount_m=150_000, identity=(("reservations", [static]),))
    reserve, create, _ = operations(accept(reserve=(RESERVE,), launches=(KEPT,)), above, same, small)
    cpus = [each for each in reserve["reserve"]["resources"] if each["name"] == "cpus"]
    assert [(each["scalar"]["value"], each["reservations"]) for each in cpus] == [(0.4, [static, OURS]), (0.6, [OURS])]
    (volume,) = create["create"]["volumes"]
    assert volume["reservations"] == [OURS], "a volume is one piece of disk"


def test_a_task_comes_back_to_what_was_offered_of_its_reservation() -> None:
    """The parts as the master wrote them, the volume among them, and nothing of another's."""
    stack = (("reservations", [OURS]),)
    disk = {"persistence": {"id": ID}, "volume": {"container_path": "state", "mode": "RW"}}
    parts = (
        ReservedPart(
            name="cpus", amount_m=9000, identity=(("reservations", [{"x": 1}]),), reservation=ReservationId("o")
        ),
        ReservedPart(name="cpus", amount_m=1000, identity=stack, reservation=ID),
        ReservedPart(name="mem", amount_m=64_000, identity=stack, reservation=ID),
        ReservedPart(name="disk", amount_m=100_000, identity=stack, reservation=ID),
        ReservedPart(name="disk", amount_m=200_000, identity=(*stack, ("disk", disk)), reservation=ID, volume=True),
    )
    (launch,) = operations(accept(launches=(KEPT,)), *parts)
    (task,) = launch["launch"]["task_infos"]
    used = task["resources"] + task["executor"]["resources"]
    assert all(each["reservations"] == [OURS] for each in used)
    assert amounts(used) == {"cpus": 1.0, "mem": 64.0, "disk": 300.0}
    assert [each["disk"] for each in used if "disk" in each] == [disk]
    destroy, unreserve = operations(
        accept(unreserve=(Unreserve(id=ID, operation_id=OperationId("u"), volume_operation_id=OperationId("d")),)),
        *parts,
    )
    assert (destroy["type"], destroy["id"], amounts(destroy["destroy"]["volumes"])) == (
        "DESTROY",
        {"value": "d"},
        {"disk": 200.0},
    )
    freed = unreserve["unreserve"]["resources"]
    assert amounts(freed) == {"cpus": 1.0, "mem": 64.0, "disk": 300.0}
    assert all(each["reservations"] == [OURS] and "disk" not in each for each in freed)
    assert all("allocation_info" not in each for each in freed), "the master knows which role the offer was for"


def test_revocable_resources_are_used_by_who_asks_for_them_and_nobody_else() -> None:
    """Of each kind all or nothing, in executor and task: Mesos refuses a mixture."""
    soft = (
        ReservedPart(name="cpus", amount_m=4000, identity=(("revocable", {}),), revocable=True),
        ReservedPart(name="mem", amount_m=999_000, identity=(("revocable", {}),), revocable=True),
    )
    worker = Launch(
        task_id=TaskId("t"),
        agent_id=AgentId("S0"),
        name="n",
        resources=Resources(cpus_m=2000, mem_m=64_000),
        argv=("a",),
        data=b"",
        role="eng/web",
    )
    for revocable in ((), ("cpus",), ("cpus", "mem")):
        (launch,) = operations(accept(launches=(replace(worker, revocable=revocable),)), *soft)
        (task,) = launch["launch"]["task_infos"]
        for each in task["resources"] + task["executor"]["resources"]:
            assert ("revocable" in each) == (each["name"] in revocable), each
