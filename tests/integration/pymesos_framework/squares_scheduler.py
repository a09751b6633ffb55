"""A framework in the manner of pymesos: has squares computed by executors, kills a task that would never end.

    squares_scheduler.py MASTER DRIVER          DRIVER is pymesos, or headgate.compat.pymesos

Prints what it has seen as JSON, in an order that does not depend on timing.  It takes its time with nothing, and keeps
to what pymesos's documentation shows.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from threading import Thread

pymesos = import_module(sys.argv[2])
USE_ADDICT = "--addict" in sys.argv
NUMBERS = {"square-2": 2, "square-3": 3, "square-12": 12}
ENDLESS = "endless"
EXECUTOR = Path(__file__).with_name("squares_executor.py")


class Squares(pymesos.Scheduler):
    def __init__(self):
        self.seen = []
        self.results = {}
        self.messages = []
        self.states = {}
        self.launched = False
        self.killed = False
        self.heartbeats = 0

    def registered(self, driver, framework_id, master_info):
        self.seen.append("registered")
        assert framework_id["value"] == driver.framework_id
        assert isinstance(master_info["port"], int)
        driver.suppressOffers()
        driver.reviveOffers()

    def processHeartBeat(self, driver):
        self.heartbeats += 1

    def resourceOffers(self, driver, offers):
        for offer in offers:
            if USE_ADDICT:
                assert offer.id.value == offer["id"]["value"]
            cpus = sum(r["scalar"]["value"] for r in offer["resources"] if r["name"] == "cpus")
            if self.launched or cpus < 1:
                driver.declineOffer(offer["id"], filters={"refuse_seconds": 60})
                continue
            tasks = [self.task(offer, name) for name in [*NUMBERS, ENDLESS]]
            self.launched = True
            driver.launchTasks(offer["id"], tasks, filters={"refuse_seconds": 60})

    def task(self, offer, name):
        return {
            "name": name,
            "task_id": {"value": name},
            "agent_id": {"value": offer["agent_id"]["value"]},
            "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}],
            "data": pymesos.encode_data(str(NUMBERS.get(name, "for ever")).encode()),
            "executor": {
                "executor_id": {"value": "squares"},
                "type": "CUSTOM",
                "framework_id": {"value": self.driver.framework_id},
                "command": {
                    "value": f"{sys.executable} {EXECUTOR} {sys.argv[2]}" + (" --addict" if USE_ADDICT else ""),
                    "environment": {"variables": [{"name": "PYTHONPATH", "value": ":".join(sys.path)}]},
                },
                "resources": [
                    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                    {"name": "mem", "type": "SCALAR", "scalar": {"value": 64}},
                ],
            },
        }

    def statusUpdate(self, driver, status):
        name = status["task_id"]["value"]
        state = status["state"]
        self.states.setdefault(name, []).append(state)
        if state == "TASK_FINISHED":
            self.results[name] = int(pymesos.decode_data(status["data"]))
        elif state == "TASK_RUNNING" and name == ENDLESS:
            driver.sendFrameworkMessage(
                {"value": "squares"}, status["agent_id"], pymesos.encode_data(b"are you there?")
            )
        self.end_if_done(driver)

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        self.messages.append([executor_id["value"], pymesos.decode_data(message).decode()])
        driver.killTask({"value": ENDLESS})

    def end_if_done(self, driver):
        if len(self.results) == len(NUMBERS) and self.states.get(ENDLESS, [])[-1:] == ["TASK_KILLED"]:
            driver.stop()

    def disconnected(self, driver):
        self.seen.append("disconnected")

    def error(self, driver, message):
        self.seen.append(f"error: {message}")
        driver.abort()


def main():
    scheduler = Squares()
    framework = {"user": "root", "name": "squares", "hostname": "here", "failover_timeout": 30}
    driver = pymesos.MesosSchedulerDriver(scheduler, framework, sys.argv[1], use_addict=USE_ADDICT)
    scheduler.driver = driver
    # As pymesos's examples do: the main thread stays free to be interrupted.
    runner = Thread(target=driver.run)
    runner.start()
    runner.join()
    seen = {
        "seen": [scheduler.seen[0], scheduler.seen[-1]],
        "results": scheduler.results,
        "messages": scheduler.messages,
        "states": scheduler.states,
        "heartbeat": scheduler.heartbeats > 0,
    }
    print(json.dumps(seen, sort_keys=True))


if __name__ == "__main__":
    main()
