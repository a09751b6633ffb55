"""A custom executor on our executor driver: tells RUNNING, sends its messages back, ends when told to."""

import os
from queue import SimpleQueue
from random import Random

from millstream.adapters.clock import SystemClock
from millstream.adapters.executor_environment import read_environment
from millstream.adapters.mesos_agent import ExecutorDriver
from millstream.core.executor_api import Aborted, ExecutorEvent, Launch, Message, Shutdown, TaskState


def main() -> None:
    mailbox: SimpleQueue[ExecutorEvent] = SimpleQueue()
    place = read_environment(os.environ)
    with ExecutorDriver(place, deliver=mailbox.put, clock=SystemClock(), randomness=Random()) as driver:
        while True:
            match mailbox.get():
                case Launch(task=task):
                    driver.update(task.task_id, TaskState.RUNNING, message=f"tls: {place.tls is not None}")
                case Message(data=data):
                    driver.send(data)
                case Shutdown() | Aborted():
                    return
                case _:
                    pass


if __name__ == "__main__":
    main()
