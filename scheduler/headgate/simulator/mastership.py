"""A process of a cluster with several masters: it may lead, stand by, or only have agents.

What ZooKeeper says decides (`group`).  If the master of this process leads, agents of other processes come to it over
links; if another does, the agents of this one go there.  A master that loses its leadership ends, as its process does
in Mesos, and comes back as another: its clients see their connections break.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random

from headgate.simulator import wire
from headgate.simulator.cluster import Cluster
from headgate.simulator.group import AGAIN_S, Group, Leader, Unreachable
from headgate.simulator.links import AgentLinks, MasterLink
from headgate.simulator.master import Master, MasterSettings, Registry
from headgate.simulator.messages import FromAgent, MasterOutput, SendToAgent, ToAgent
from headgate.simulator.server.app import Application, Standing
from headgate.simulator.server.listener import Listener
from headgate.simulator.services import MasterService


class RemoteMaster:
    """The master of another process, as the agents here meet it."""

    def __init__(self, link: MasterLink) -> None:
        self._link = link
        self._said: list[MasterOutput] = []

    def hear(self, address: str, message: ToAgent) -> None:
        """It says something to an agent here."""
        self._said.append(SendToAgent(address=address, message=message))

    def receive(self, address: str, message: FromAgent, *, now: float) -> None:  # noqa: ARG002 (its time is its own)
        """An agent here says something to it."""
        self._link.send(address, message)

    def tick(self, *, now: float) -> None:
        """Nothing is due here."""

    def wake_at(self) -> float | None:
        """Never."""
        return None

    def drain(self) -> list[MasterOutput]:
        """What it said since the last drain."""
        said, self._said = self._said, []
        return said


class Seat:
    """Where a master of this process sits: its flags, and the port it is served on."""

    def __init__(
        self, settings: MasterSettings, service: MasterService, application: Application, listener: Listener
    ) -> None:
        self.settings, self.service, self.application, self.listener = settings, service, application, listener


class Mastership:
    """All methods belong to one event loop; `settle` is called after each input to the cluster."""

    def __init__(
        self, url: str, cluster: Cluster, seat: Seat | None, randomness: Random, *, now: Callable[[], float],
        settle: Callable[[], None], session_timeout_s: float = 10.0,
    ) -> None:  # fmt: skip
        self._url, self._cluster, self._seat, self._randomness = url, cluster, seat, randomness
        self._now, self._settle, self._session_timeout_s = now, settle, session_timeout_s
        self.links = AgentLinks(self._heard)
        cluster.foreign = self.links.send
        self._seed = 0.0
        self._leader: Leader | None = None
        self._master: Master | None = None
        self._link: MasterLink | None = None
        self._kept: Registry | None = None
        self._changed = asyncio.Event()
        self._to_save = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._group = self._new_group()
        self._stand(Standing.UNKNOWN)

    async def open(self) -> None:
        """Begin to contend, or to look on.

        Raises:
            OSError: no ZooKeeper answers.
        """
        await self._group.open()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._save())]

    async def close(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._master = None  # no link is accepted from now on
        self._drop_link()
        self.links.break_all()
        await self._group.close()

    async def restart(self) -> None:
        """End the master of this process, wherever it stood, and let another one contend."""
        assert self._seat is not None, "there is no master here"
        self._leader = None
        await self._step_down()
        await self._group.close()
        self._group = self._new_group()
        await self._group.open()

    def accept(self) -> asyncio.Protocol | None:
        """The end of a link to agents elsewhere; None while no master here leads."""
        return None if self._master is None else self.links.accept()

    def settled(self) -> None:
        """Something happened to the master here; the registry may have to be saved."""
        if self._master is not None:
            self._to_save.set()

    # --- inside --------------------------------------------------------------------------------------------------

    def _new_group(self) -> Group:
        """A session of a new master, which has an id of its own."""
        info = None
        if self._seat is not None:
            self._seed = self._randomness.random()
            self._seat.service.standby = self._new_master(None)
            info = self._seat.service.standby.info
        return Group(self._url, info, self._elected, session_timeout_s=self._session_timeout_s)

    def _new_master(self, registry: Registry | None) -> Master:
        assert self._seat is not None
        return Master(self._seat.settings, Random(self._seed), registry)

    def _elected(self, leader: Leader | None) -> None:
        self._leader = leader
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            leader = self._leader
            if self._master is not None and (leader is None or not leader.mine):
                await self._step_down()
                self._seed = self._randomness.random()
            self._drop_link()
            try:
                await self._go_to(leader)
            except OSError:
                self._again()

    async def _go_to(self, leader: Leader | None) -> None:
        """Take the place that a new leader leaves us: leading, following, or waiting for one."""
        if leader is not None and leader.mine:
            await self._lead()
            return
        self._stand(Standing.UNKNOWN if leader is None else f"{leader.hostname}:{leader.port}")
        if leader is None or not self._cluster.has_agents:
            return
        link = self._link = MasterLink(
            lambda address, message: self._said(remote, address, message), lambda: self._lost(link)
        )
        remote = RemoteMaster(link)
        if await link.open(leader.ip, leader.port):
            self._cluster.follow(remote, self._now())
            self._settle()
        else:
            self._again()

    async def _lead(self) -> None:
        if self._master is not None:
            return
        self._stand(Standing.RECOVERING)
        left = await self._group.read_registry()
        self._kept = Registry() if left is None else wire.unpack_registry(left)
        self._master = self._new_master(self._kept)
        self._cluster.start_master(self._master, self._now())
        self._stand(Standing.LEADS)
        self._settle()

    async def _step_down(self) -> None:
        seat = self._seat
        assert seat is not None
        self._master = None
        self._cluster.kill_master()
        self.links.break_all()
        self._stand(Standing.UNKNOWN)
        await seat.listener.kill()
        await seat.listener.open(whose="the master")

    def _stand(self, standing: str | Standing) -> None:
        if self._seat is not None:
            self._seat.application.leader = standing

    def _again(self) -> None:
        asyncio.get_running_loop().call_later(AGAIN_S, self._changed.set)

    # --- links ---------------------------------------------------------------------------------------------------

    def _heard(self, address: str, message: FromAgent) -> None:
        """An agent of another process says something to the master here."""
        if self._master is not None:
            self._master.receive(address, message, now=self._now())
            self._settle()

    def _said(self, master: RemoteMaster, address: str, message: ToAgent) -> None:
        """The master of another process says something to an agent here."""
        master.hear(address, message)
        self._settle()

    def _lost(self, link: MasterLink) -> None:
        """The link to the master broke: it is gone, or we were never welcome."""
        if self._link is link:
            self._link = None
            self._cluster.kill_master()
            self._again()

    def _drop_link(self) -> None:
        if self._link is not None:
            link, self._link = self._link, None
            link.close()
            self._cluster.kill_master()

    # --- the registry --------------------------------------------------------------------------------------------

    async def _save(self) -> None:
        """Write the registry down whenever it has changed; what cannot be written now is tried again."""
        while True:
            await self._to_save.wait()
            self._to_save.clear()
            if self._master is None or (registry := self._master.registry()) == self._kept:
                continue
            with suppress(Unreachable):
                await self._group.write_registry(wire.pack_registry(registry))
                self._kept = registry
                continue
            asyncio.get_running_loop().call_later(AGAIN_S, self._to_save.set)
