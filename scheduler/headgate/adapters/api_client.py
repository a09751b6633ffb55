"""The other end of the HTTP API: what the CLI says to a running scheduler."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import requests

from headgate.adapters.api_types import ApiError, Explanation, JobSummary
from headgate.adapters.bundles import Bundle
from headgate.errors import BadJob, HeadgateError, UnknownJob
from headgate.model.command import Receipt
from headgate.model.view import AgentView, JobView, View
from headgate.model.waiting import AgentExplanation, DryRun

_TIMEOUT_S = (5.0, 60.0)
_TRY_AGAIN_S = 1.0
_T = TypeVar("_T")


class ApiUnreachable(HeadgateError):
    """No scheduler answers there, or it cannot act now."""

    retry = True


class ApiDenied(HeadgateError):
    """The scheduler does not let us in."""


class ApiClient:
    """Calls of the HTTP API as methods.

    All of them raise ApiUnreachable (no answer, or not now), ApiDenied (the token), UnknownJob, and BadJob (what was
    sent is refused, with every reason).
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
        self._session = requests.Session()
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Give connections back.  Idempotent."""
        self._session.close()

    def jobs(self) -> list[JobSummary]:
        """All jobs."""
        return _decoded(self._call("GET", "/v1/jobs"), list[JobSummary])

    def job(self, name: str) -> JobView:
        """One job."""
        return _decoded(self._call("GET", f"/v1/jobs/{_part(name)}"), JobView)

    def view(self, *, tries: int = 1) -> View:
        """Everything.  With several tries, a second apart, it may be that one scheduler takes over from another."""
        pause = threading.Event()
        for _ in range(tries - 1):
            try:
                return _decoded(self._call("GET", "/v1/view"), View)
            except ApiUnreachable:
                pause.wait(_TRY_AGAIN_S)
        return _decoded(self._call("GET", "/v1/view"), View)

    def explain(self, name: str) -> Explanation:
        """Why a job is as it is."""
        return _decoded(self._call("GET", f"/v1/jobs/{_part(name)}/explain"), Explanation)

    def submit(self, job: Mapping[str, Any], bundle: Bundle) -> Receipt:
        """Put the bundle there and have the job run.  `job` is the content of the job file."""
        self._call("PUT", f"/v1/bundles/{bundle.sha256}.zip", data=bundle.data)
        return _decoded(self._call("POST", "/v1/jobs", json={"job": job, "bundle": bundle.sha256}), Receipt)

    def scale(self, name: str, workers: int | None) -> Receipt:
        """Set the number of workers; None gives it back to the scaling policy."""
        return _decoded(self._call("POST", f"/v1/jobs/{_part(name)}/scale", json={"workers": workers}), Receipt)

    def pause(self, name: str) -> Receipt:
        """Let a job rest."""
        return self._tell(name, "pause")

    def resume(self, name: str) -> Receipt:
        """Let a job that rests go on."""
        return self._tell(name, "resume")

    def restart(self, name: str) -> Receipt:
        """Replace a job's workers."""
        return self._tell(name, "restart")

    def dry_run(self, job: Mapping[str, Any]) -> DryRun:
        """What would become of a job if it were submitted now.  `job` is the content of the job file."""
        return _decoded(self._call("POST", "/v1/dry-run", json={"job": job}), DryRun)

    def agents(self) -> list[AgentView]:
        """All agents known."""
        return _decoded(self._call("GET", "/v1/agents"), list[AgentView])

    def explain_agent(self, name: str) -> AgentExplanation:
        """What became of an agent's last offers.  UnknownJob if there is no such agent."""
        return _decoded(self._call("GET", f"/v1/agents/{_part(name)}/explain"), AgentExplanation)

    def cancel(self, name: str) -> Receipt:
        """Stop a job."""
        return _decoded(self._call("DELETE", f"/v1/jobs/{_part(name)}"), Receipt)

    def _tell(self, name: str, what: str) -> Receipt:
        return _decoded(self._call("POST", f"/v1/jobs/{_part(name)}/{what}", json={}), Receipt)

    def _call(self, method: str, path: str, **body: Any) -> bytes:
        try:
            answer = self._session.request(method, self._url + path, timeout=_TIMEOUT_S, allow_redirects=False, **body)
        except requests.RequestException as problem:
            where = "name it with --api or HEADGATE_API, or start one with `headgate serve`"
            raise ApiUnreachable(f"no scheduler answers at {self._url} ({_reason(problem)}); {where}") from problem
        if answer.status_code < 300:
            return answer.content
        raise self._error(answer)

    def _error(self, answer: requests.Response) -> HeadgateError:
        try:
            found = msgspec.json.decode(answer.content, type=ApiError)
        except msgspec.DecodeError:
            return ApiUnreachable(f"{self._url} answered {answer.status_code}, and not as a Headgate scheduler does")
        status = answer.status_code
        if status in (401, 403):
            return ApiDenied(f"{self._url}: {found.error}")
        if status == 404:
            return UnknownJob(found.error)
        if status in (400, 409, 413, 415, 422):
            return BadJob(found.mistakes or (found.error,))
        return ApiUnreachable(f"{self._url} answered {status}: {found.error}")


def _decoded(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as problem:
        text = f"the scheduler's answer is not of this release ({problem}); use the CLI of the scheduler's release"
        raise ApiUnreachable(text) from problem


def _part(name: str) -> str:
    return quote(name, safe="")


def _reason(problem: requests.RequestException) -> str:
    if isinstance(problem, requests.Timeout):
        return "timed out"
    if isinstance(problem, requests.ConnectionError):
        return "connection refused" if "refused" in str(problem) else "cannot connect"
    return str(problem)
