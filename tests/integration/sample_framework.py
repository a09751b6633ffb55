"""A framework as small as one can be written with plain `requests`: keeps some tasks running.

    python sample_framework.py HOST:PORT TASKS [ROLE]

Not Headgate's, so that what is meant for authors of other frameworks is tried on one.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import requests

Json = dict[str, Any]


class Keeper:
    """Keeps `wanted` tasks named task-0, task-1 … running."""

    def __init__(self, master: str, wanted: int, role: str) -> None:
        self.url = f"http://{master}/api/v1/scheduler"
        self.info: Json = {
            "user": "root",
            "name": "keeper",
            "roles": [role],
            "failover_timeout": 600,
            "checkpoint": True,
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
        }
        self.wanted = wanted
        self.attempt = 0
        self.tasks: dict[str, tuple[str, str]] = {}
        self.stream_id = ""
        self.suppressed = False

    def run(self) -> None:
        while True:
            try:
                self.subscribe()
            except requests.RequestException as problem:
                print("lost the master:", problem, flush=True)
            time.sleep(0.2)

    def subscribe(self) -> None:
        call: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.info}}
        if "id" in self.info:
            call["framework_id"] = self.info["id"]
        with requests.post(self.url, json=call, stream=True, timeout=(5, 60)) as answer:
            answer.raise_for_status()
            self.stream_id = answer.headers["Mesos-Stream-Id"]
            waiting = b""
            for piece in answer.iter_content(None):
                waiting += piece
                while b"\n" in waiting:
                    head, _, rest = waiting.partition(b"\n")
                    if len(rest) < int(head):
                        break
                    record, waiting = rest[: int(head)], rest[int(head) :]
                    self.hear(json.loads(record))

    def hear(self, event: Json) -> None:
        match event["type"]:
            case "SUBSCRIBED":
                self.info["id"] = event["subscribed"]["framework_id"]
                self.suppressed = False
                asked = [
                    {"task_id": {"value": task}, "agent_id": {"value": agent}} for task, agent in self.tasks.values()
                ]
                self.call("RECONCILE", {"tasks": asked})
            case "OFFERS":
                for offer in event["offers"]["offers"]:
                    self.use(offer)
            case "UPDATE":
                self.take_in(event["update"]["status"])

    def use(self, offer: Json) -> None:
        missing = [f"task-{number}" for number in range(self.wanted) if f"task-{number}" not in self.tasks]
        room = int(sum(each["scalar"]["value"] for each in offer["resources"] if each["name"] == "cpus") / 0.5)
        chosen = missing[:room]
        if not chosen:
            self.call("DECLINE", {"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 30}})
            return
        infos = []
        for name in chosen:
            self.attempt += 1
            self.tasks[name] = (f"{name}.{self.attempt}", offer["agent_id"]["value"])
            amounts = {"cpus": 0.5, "mem": 32}
            infos.append(
                {
                    "name": name,
                    "task_id": {"value": f"{name}.{self.attempt}"},
                    "agent_id": offer["agent_id"],
                    "resources": [
                        {"name": key, "type": "SCALAR", "scalar": {"value": value}} for key, value in amounts.items()
                    ],
                    "command": {"value": "sleep 600"},
                }
            )
        operation = {"type": "LAUNCH", "launch": {"task_infos": infos}}
        self.call("ACCEPT", {"offer_ids": [offer["id"]], "operations": [operation]})

    def take_in(self, status: Json) -> None:
        task_id, state = status["task_id"]["value"], status["state"]
        if "uuid" in status:
            ids = {"task_id": status["task_id"], "agent_id": status["agent_id"], "uuid": status["uuid"]}
            self.call("ACKNOWLEDGE", ids)
        print(task_id, state, flush=True)
        name = task_id.rpartition(".")[0]
        is_over = state not in ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING")
        if is_over and self.tasks.get(name, ("", ""))[0] == task_id:
            del self.tasks[name]
        if len(self.tasks) < self.wanted and self.suppressed:
            self.suppressed = False
            self.call("REVIVE", {})
        elif len(self.tasks) == self.wanted and state == "TASK_RUNNING" and not self.suppressed:
            self.suppressed = True
            self.call("SUPPRESS", {})

    def call(self, kind: str, body: Json) -> None:
        call: Json = {"type": kind, "framework_id": self.info["id"]}
        if body:
            call[kind.lower()] = body
        answer = requests.post(self.url, json=call, headers={"Mesos-Stream-Id": self.stream_id}, timeout=10)
        answer.raise_for_status()


if __name__ == "__main__":
    Keeper(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "*").run()
