"""Jobs written with millstream: one worker process per task, which is its own Mesos executor.

The agent fetches the program's bundle into the sandbox and unpacks it; all else the worker needs is the data of its
task (`WorkerSpec`).  Which shards it owns is told later, by assignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headgate.engines.port_variables import port_variables
from headgate.model.call import ContainerType, FetchUri, Launch
from headgate.model.ids import AgentId, Attempt
from headgate.model.job import JobSpec
from headgate.model.resources import Resources
from millstream.contract.wire import encode
from millstream.contract.worker_spec import CheckpointSpec, ProgramRef, WorkerSpec

NAME: Final = "millstream"


@dataclass(frozen=True, slots=True, kw_only=True)
class MillstreamEngine:
    """Launches millstream workers.

    `python` is the interpreter on the agent for workers that run in no image; `default_store` is the folder or URL for
    jobs that name no checkpoint store; in any store each job has a folder of its name, which is the worker's doing.
    """

    default_store: str
    python: str = "python3"

    def mistakes(self, spec: JobSpec) -> tuple[str, ...]:
        """See `ports.Engine`."""
        found = []
        if spec.program.sha256 is None:
            found.append("program: it is not bundled; submit the job with `headgate submit`, which does that")
        if spec.container.type is not ContainerType.NONE and spec.container.image is None:
            found.append(f"container.image: a container of type {spec.container.type.value} needs one")
        return tuple(found)

    def launch(
        self, spec: JobSpec, attempt: Attempt, *, agent_id: AgentId, resources: Resources, bundle_url: str | None
    ) -> Launch:
        """See `ports.Engine`."""
        assert spec.program.sha256 is not None, spec.name
        worker = WorkerSpec(
            job=spec.name,
            worker=attempt.worker,
            task_id=attempt.task_id,
            program=ProgramRef(
                file=spec.program.file,
                object=spec.program.object,
                sha256=spec.program.sha256,
                args=spec.program.args,
            ),
            checkpoint=CheckpointSpec(
                store=spec.checkpoint.store or self.default_store,
                interval_s=spec.checkpoint.interval_s,
                keep=spec.checkpoint.keep,
            ),
            delivery=spec.delivery,
            until=spec.until,
            rate_limit=spec.rate_limit,
        )
        bundle = () if bundle_url is None else (FetchUri(value=bundle_url, extract=True),)
        return Launch(
            task_id=attempt.task_id,
            agent_id=agent_id,
            name=f"{spec.name}.{attempt.worker}",
            resources=resources,
            argv=self._argv(spec),
            data=encode(worker),
            role=spec.role,
            environment={**port_variables(spec.port_names, resources.ports), **spec.env},
            uris=(*bundle, *spec.fetch),
            container=spec.container,
            labels={
                **spec.labels,
                "headgate.job": spec.name,
                "headgate.worker": str(attempt.worker),
                "headgate.revision": spec.program.sha256,
            },
        )

    def _argv(self, spec: JobSpec) -> tuple[str, ...]:
        if spec.container.type is ContainerType.NONE or spec.container.image is None:
            return (self.python, "-m", "millstream.worker")
        return ("millstream-worker",)
