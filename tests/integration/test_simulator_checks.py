"""Health checks and checks for real: a command, an HTTP server, a port; and the end of a task that stays unhealthy."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from plain_framework import Framework, Json, task

from headgate.simulator.embedded import EmbeddedCluster

pytestmark = pytest.mark.integration


class Endpoint(BaseHTTPRequestHandler):
    """`/moved` leads to `/good`; all else is 500."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
        else:
            self.send_response(200 if self.path == "/good" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *said: Any) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def framework() -> Iterator[Framework]:
    with EmbeddedCluster() as cluster:
        subscribed = Framework(cluster.address)
        subscribed.subscribe()
        yield subscribed
        subscribed.close()


def quick(**more: Any) -> Json:
    return {
        "delay_seconds": 0.0,
        "interval_seconds": 0.1,
        "timeout_seconds": 10.0,
        "grace_period_seconds": 0.0,
        "consecutive_failures": 2,
        **more,
    }


def next_health(framework: Framework) -> bool:
    while "healthy" not in (status := framework.status()):
        assert status["state"] in ("TASK_STARTING", "TASK_RUNNING"), status
    assert status["reason"] == "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
    return bool(status["healthy"])


@pytest.mark.parametrize(
    ("path", "healthy"), [("/good", True), ("/moved", True), ("/bad", False)], ids=["ok", "redirect", "error"]
)
def test_http(framework: Framework, port: int, path: str, healthy: bool) -> None:
    check = quick(type="HTTP", http={"port": port, "path": path}, consecutive_failures=1000)
    framework.launch(framework.offer(), task("t", "sleep 600", health_check=check))
    assert next_health(framework) is healthy


def test_tcp(framework: Framework, port: int) -> None:
    check = quick(type="TCP", tcp={"port": port})
    framework.launch(framework.offer(), task("t", "sleep 600", health_check=check))
    assert next_health(framework) is True


def test_a_command_sees_the_sandbox_and_the_environment_of_its_task(
    framework: Framework,
) -> None:
    variables = {"environment": {"variables": [{"name": "WANTED", "value": "yes"}]}}
    check = quick(
        type="COMMAND", command={"value": 'test "$(cat state)" = "$WANTED" && rm state'}, grace_period_seconds=60.0
    )
    info = task("t", "echo yes > state; sleep 600", health_check=check)
    info["command"] |= variables
    framework.launch(framework.offer(), info)
    assert [next_health(framework) for _ in range(3)] == [True, False, False]
    assert framework.until_state("TASK_KILLED")["healthy"] is False


def test_an_unhealthy_task_is_killed(framework: Framework) -> None:
    check = quick(type="COMMAND", command={"value": "exit 3"})
    framework.launch(framework.offer(), task("t", "sleep 600", health_check=check))
    end = framework.until_state("TASK_KILLED")
    assert end["healthy"] is False
    assert end["message"] == "Command terminated with signal Terminated"


def test_a_check_tells_exit_codes_and_a_hanging_one_is_ended_at_its_timeout(framework: Framework) -> None:
    command = {"value": "test -f slow && sleep 600; touch slow; exit 4"}
    check = {"type": "COMMAND", "command": {"command": command}}
    timing = {"delay_seconds": 0.0, "interval_seconds": 0.1, "timeout_seconds": 1.0}
    framework.launch(framework.offer(), task("t", "sleep 600", check={**check, **timing}))
    told: list[Json] = []
    while len(told) < 2:
        status = framework.status()
        if status.get("reason") == "REASON_TASK_CHECK_STATUS_UPDATED":
            told.append(status["check_status"])
    assert told == [{"type": "COMMAND", "command": {"exit_code": 4}}, {"type": "COMMAND", "command": {}}]
