"""The executor of that framework: `squares_executor.py DRIVER`."""

import sys
from importlib import import_module
from threading import Event, Thread

pymesos = import_module(sys.argv[1])
USE_ADDICT = "--addict" in sys.argv


class Squares(pymesos.Executor):
    def __init__(self):
        self.ended = Event()

    def registered(self, driver, executor_info, framework_info, agent_info):
        assert executor_info["executor_id"]["value"] == "squares"
        assert framework_info["name"] == "squares"
        assert agent_info["id"]["value"]

    def launchTask(self, driver, task):
        if USE_ADDICT:
            assert task.task_id.value == task["task_id"]["value"]
        Thread(target=self.work, args=(driver, task), daemon=True).start()

    def work(self, driver, task):
        told = pymesos.decode_data(task["data"]).decode()
        driver.sendStatusUpdate({"task_id": task["task_id"], "state": "TASK_RUNNING"})
        if told == "for ever":
            self.ended.wait()
            return
        result = pymesos.encode_data(str(int(told) ** 2).encode())
        driver.sendStatusUpdate({"task_id": task["task_id"], "state": "TASK_FINISHED", "data": result})

    def killTask(self, driver, task_id):
        self.ended.set()
        driver.sendStatusUpdate({"task_id": task_id, "state": "TASK_KILLED"})

    def frameworkMessage(self, driver, message):
        driver.sendFrameworkMessage(pymesos.encode_data(pymesos.decode_data(message).upper()))


if __name__ == "__main__":
    pymesos.MesosExecutorDriver(Squares(), use_addict=USE_ADDICT).run()
