"""A worker → the task on a custom executor of its own that Mesos is asked to launch.

Mesos wants resources of both.  The executor gets the least that the master accepts without complaint and the task the
rest, so that together they are exactly the worker's; the container's limits are those of the sum.

Source: `TaskInfo`, `ExecutorInfo`, `CommandInfo` and `ContainerInfo` of Mesos's `v1/mesos.proto`.
"""

from __future__ import annotations

import base64
from typing import Final

from headgate.adapters.mesos_codec_drawer import Drawer, Json, labels
from headgate.model.call import Container, ContainerType, Launch
from headgate.model.ids import FrameworkId
from headgate.model.resources import PortRange, Resources

EXECUTOR_CPUS_M: Final = 10
EXECUTOR_MEM_M: Final = 32_000
"""The master's `MIN_CPUS` and `MIN_MEM` of an executor: 0.01 and 32 MiB."""

BRIDGE_OF_MESOS: Final = "mesos-bridge"
"""By convention of Marathon and DC/OS, the bridge network that agents offer to the Mesos containerizer."""


def task_info(launch: Launch, framework_id: FrameworkId, drawer: Drawer) -> Json:
    """The `TaskInfo` of a launch, its executor within.

    A persistent volume is the executor's, so that it is there before the executor starts.
    """
    executors, tasks = executor_and_task(launch.resources)
    source = drawer.for_launch(launch)
    container = container_info(launch.container, launch.resources.ports)
    executor: Json = {
        "type": "CUSTOM",
        "executor_id": {"value": launch.task_id},
        "framework_id": {"value": framework_id},
        "name": launch.name,
        "command": command_info(launch),
        "resources": [*source.draw(executors), *source.volumes()],
        "shutdown_grace_period": _duration(launch.shutdown_grace_s),
    }
    if container is not None:
        executor["container"] = container
    task: Json = {
        "name": launch.name,
        "task_id": {"value": launch.task_id},
        "agent_id": {"value": launch.agent_id},
        "resources": source.draw(tasks),
        "executor": executor,
        "kill_policy": {"grace_period": _duration(launch.shutdown_grace_s)},
        "data": base64.b64encode(launch.data).decode(),
    }
    if launch.labels:
        task["labels"] = labels(launch.labels)
    return task


def executor_and_task(worker: Resources) -> tuple[Resources, Resources]:
    """(the executor's part, the task's), adding up to the worker's.

    The task keeps some of whatever there is, because Mesos refuses a task without resources; a worker that has not
    more than the executor's minimum leaves the executor none, which Mesos permits.
    """
    cpus_m = EXECUTOR_CPUS_M if worker.cpus_m > EXECUTOR_CPUS_M else 0
    mem_m = EXECUTOR_MEM_M if worker.mem_m > EXECUTOR_MEM_M else 0
    return Resources(cpus_m=cpus_m, mem_m=mem_m), Resources(
        cpus_m=worker.cpus_m - cpus_m,
        mem_m=worker.mem_m - mem_m,
        disk_m=worker.disk_m,
        gpus_m=worker.gpus_m,
        ports=worker.ports,
    )


def command_info(launch: Launch) -> Json:
    """How the executor is started.

    The two containerizers want different `arguments`: the one of Mesos executes `value` with `arguments` as the whole
    argv; the Docker engine appends them to `value`.
    """
    assert launch.argv, launch.task_id
    program, *rest = launch.argv
    command: Json = {
        "shell": False,
        "value": program,
        "arguments": rest if launch.container.type is ContainerType.DOCKER else [program, *rest],
    }
    if launch.environment:
        variables = [{"name": name, "value": value} for name, value in launch.environment.items()]
        command["environment"] = {"variables": variables}
    if launch.uris:
        command["uris"] = [
            {
                "value": uri.value,
                "extract": uri.extract,
                "executable": uri.executable,
                "cache": uri.cache,
                **({"output_file": uri.output_file} if uri.output_file else {}),
            }
            for uri in launch.uris
        ]
    return command


def container_info(container: Container, ports: tuple[PortRange, ...]) -> Json | None:
    """The `ContainerInfo`; None where the executor is a plain process on its host.

    Outside the host's network each of the worker's ports is mapped to the same port of the container.
    """
    on_host = container.network == "host"
    info: Json
    if container.type is ContainerType.DOCKER:
        assert container.image, "a Docker container needs an image"
        docker: Json = {"image": container.image, "network": _docker_network(container.network)}
        if ports and not on_host:
            docker["port_mappings"] = _mappings(ports)
        info = {"type": "DOCKER", "docker": docker}
        if docker["network"] == "USER":
            info["network_infos"] = [{"name": container.network}]
    else:
        if container.type is ContainerType.NONE and on_host and not container.volumes:
            return None
        mesos: Json = {}
        if container.image and container.type is ContainerType.MESOS:
            mesos["image"] = {"type": "DOCKER", "docker": {"name": container.image}}
        info = {"type": "MESOS", "mesos": mesos}
        if not on_host:
            network: Json = {"name": BRIDGE_OF_MESOS if container.network == "bridge" else container.network}
            if ports:
                network["port_mappings"] = _mappings(ports)
            info["network_infos"] = [network]
    if container.volumes:
        info["volumes"] = [
            {
                "container_path": volume.container_path,
                "host_path": volume.host_path,
                "mode": "RO" if volume.read_only else "RW",
            }
            for volume in container.volumes
        ]
    return info


def _docker_network(network: str) -> str:
    return {"host": "HOST", "bridge": "BRIDGE"}.get(network, "USER")


def _mappings(ports: tuple[PortRange, ...]) -> list[Json]:
    return [
        {"host_port": port, "container_port": port, "protocol": "tcp"}
        for each in ports
        for port in range(each.begin, each.end + 1)
    ]


def _duration(seconds: float) -> Json:
    return {"nanoseconds": round(seconds * 1e9)}
