"""A small custom executor: runs whatever it is given, sends messages back, ends when told to.  Needs nothing else.

TASK_RUNNING carries what the task brought and, as the message, the variable `GREETING`.
"""

import base64
import http.client
import json
import os
import uuid

HOST = os.environ["MESOS_AGENT_ENDPOINT"]
IDS = {
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
}
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


def post(kind: str, body: dict) -> http.client.HTTPResponse:
    """The answer to one call."""
    connection = http.client.HTTPConnection(HOST)
    connection.request("POST", "/api/v1/executor", json.dumps({**IDS, "type": kind, kind.lower(): body}), HEADERS)
    response = connection.getresponse()
    assert response.status in (200, 202), response.read()
    return response


def update(task_id: dict, state: str, **more: str) -> None:
    """Tell what has become of the task."""
    made = base64.b64encode(uuid.uuid4().bytes).decode()
    status = {"task_id": task_id, "state": state, "source": "SOURCE_EXECUTOR", "uuid": made, **IDS, **more}
    del status["framework_id"]
    post("UPDATE", {"status": status}).close()


def main() -> None:
    """Subscribe and do as told until SHUTDOWN."""
    stream = post("SUBSCRIBE", {"unacknowledged_tasks": [], "unacknowledged_updates": []})
    while length := stream.readline():
        event = json.loads(stream.read(int(length)))
        if event["type"] == "LAUNCH":
            task = event["launch"]["task"]
            update(task["task_id"], "TASK_RUNNING", data=task["data"], message=os.environ["GREETING"])
        elif event["type"] == "MESSAGE":
            post("MESSAGE", {"data": event["message"]["data"]}).close()
        elif event["type"] == "KILL":
            update(event["kill"]["task_id"], "TASK_KILLED")
        elif event["type"] == "SHUTDOWN":
            return


if __name__ == "__main__":
    main()
