"""A simulated world with jobs and agents of the test's choice: the real scheduler, calm weather, and a look inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from headgate.loop import Scheduler
from headgate.model.ids import JobName
from headgate.model.job import JobSpec, Program, Scaling, Workers
from headgate.model.operation import Hold, ReservationRecord
from headgate.model.resources import Request
from headgate.model.task import Stage, TaskRecord
from headgate.simulator.agent import AgentSettings
from headgate.simulator.messages import Reply
from headgate.testing import world as world_module
from headgate.testing.faults import Fault
from headgate.testing.operation_rules import OperationsSaved
from headgate.testing.world import Options, World

GIB = 1_024_000
CALM: Mapping[Fault, float] = {}


def job_spec(name: str = "job0", *, workers: int | Workers = 1, **changes: Any) -> JobSpec:
    """A job of one-cpu workers in role `web`; a number of workers is that many now, of up to eight."""
    bounds = workers if isinstance(workers, Workers) else Workers(min=1, max=8, initial=workers)
    return JobSpec(
        **{
            "name": JobName(name),
            "program": Program(file="p.py", sha256="ab" * 32),
            "role": "web",
            "worker": Request(cpus_m=1000, mem_m=GIB, disk_m=GIB),
            "workers": bounds,
            "scaling": Scaling(enabled=False),
            "unreachable_replace_after_s": 5.0,
            **changes,
        }
    )


def agent(
    number: int, resources: str = "cpus:4;mem:8192;disk:100000;ports:[31000-31100]", **more: Any
) -> AgentSettings:
    """An agent of a name and address of its own."""
    settings = {
        "resources": resources,
        "hostname": f"a{number}.example",
        "ip": f"10.0.0.{number + 1}",
        "executor_registration_timeout_s": 20.0,
        "registration_backoff_s": 0.5,
        **more,
    }
    return AgentSettings(**settings)


class Story:
    """One world under the rules of the simulation; what is not told happens without faults."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        specs: Sequence[JobSpec],
        agents: Sequence[AgentSettings],
        *,
        seed: int = 1,
        weights: Mapping[Fault, float] | None = CALM,
    ) -> None:
        monkeypatch.setattr(world_module, "RULES", (*world_module.RULES, OperationsSaved))
        self.world = World(seed, Options(weights=weights, storm_s=60.0, specs=tuple(specs), agents=tuple(agents)))
        self.town = self.world._town

    @property
    def scheduler(self) -> Scheduler:
        """The one that leads."""
        found = self.world._host.scheduler
        assert found is not None
        return found

    @property
    def tasks(self) -> list[TaskRecord]:
        """Those recorded, by attempt."""
        return sorted(self.ledger.tasks.values(), key=lambda task: task.attempt)

    @property
    def ledger(self) -> Any:
        """The scheduler's records."""
        return self.scheduler._world.ledger

    @property
    def running(self) -> list[TaskRecord]:
        """Those that run."""
        return [task for task in self.tasks if task.stage is Stage.RUNNING]

    @property
    def kept(self) -> set[str]:
        """Reservations that are wanted: of workers, also of a paused job's."""
        return {each.id for each in self.ledger.reservations.values() if each.hold is not Hold.FREEING}

    @property
    def freeing(self) -> list[ReservationRecord]:
        """Reservations that are to be given back."""
        return [each for each in self.ledger.reservations.values() if each.hold is Hold.FREEING]

    @property
    def now(self) -> float:
        """The time of the world."""
        return self.world.timeline.now()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.world._until(self.now + seconds)

    def until(self, holds: Callable[[], bool], *, within: float = 120.0) -> None:
        """Let time pass until something holds."""
        begun = self.now
        while not holds():
            assert self.now - begun < within, f"not within {within:.0f} s:\n" + "\n".join(self.world.trace.last(60))
            self.wait(0.5)

    def operate(self, kind: str, **body: Any) -> dict[str, Any]:
        """A call of the operator API, and its answer."""
        message = {"type": kind, **({kind.lower(): body} if body else {})}
        answer = self.town.cluster.master.operator(message, now=self.now)
        assert isinstance(answer, Reply), answer
        assert answer.status < 300, answer
        self.town.settle()
        return answer.body if isinstance(answer.body, dict) else {}

    @property
    def flowing(self) -> set[str]:
        """The roles whose offers are not suppressed."""
        leader = self.world._host.leader
        assert leader is not None
        assert leader.link is not None
        return leader.link.flowing

    def add_agent(self, settings: AgentSettings) -> None:
        """One more agent."""
        self.town.add(settings)

    def address_of(self, hostname: str) -> str:
        """Where an agent is."""
        return next(each for each in self.town.addresses if self.town.machine(each)["hostname"] == hostname)

    def reserve(self, hostname: str, labels: Mapping[str, str], **amounts: float) -> None:
        """As an operator, for role `web`."""
        stack = [
            {
                "type": "DYNAMIC",
                "role": "web",
                "labels": {"labels": [{"key": key, "value": value} for key, value in labels.items()]},
            }
        ]
        resources = [
            {"name": name, "type": "SCALAR", "scalar": {"value": amount}, "reservations": stack}
            for name, amount in amounts.items()
        ]
        agent_id = self.town.agent_id(self.address_of(hostname))
        self.operate("RESERVE_RESOURCES", agent_id={"value": agent_id}, resources=resources)

    def reserved(self) -> dict[str, list[dict[str, Any]]]:
        """By hostname, the dynamically reserved resources that agents have."""
        agents = self.operate("GET_AGENTS")["get_agents"]["agents"]
        return {
            each["agent_info"]["hostname"]: [
                resource
                for resource in each["total_resources"]
                if any(entry["type"] == "DYNAMIC" for entry in resource.get("reservations", ()))
            ]
            for each in agents
        }

    def labels(self) -> set[str]:
        """The ids of all reservations of ours that agents have."""
        return self.town.reservations()
