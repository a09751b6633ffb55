"""The HTTP API as an ASGI application: jobs in and out of the scheduler, bundles, health, metrics, OpenAPI.

A scheduler that stands by answers health, metrics and bundles itself, and passes on the rest to the leader.

Errors are JSON, `{"error": …, "mistakes": […]}`: 400 not readable, 401 no token, 404 no such job, 409 the name is in
use, 415 not JSON, 422 refused with reasons, 503 not now.  `/schema/openapi.json` describes it all.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from litestar import Litestar, Request, Response, delete, get, post, put
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.params import FromPath, JSONBody
from litestar.response import File
from litestar.types import ASGIApp

from headgate.adapters import bundles
from headgate.adapters.api_forward import Forwarding
from headgate.adapters.api_guard import Guard
from headgate.adapters.api_types import (
    ApiError,
    DryRunRequest,
    Explanation,
    Gate,
    Health,
    JobSummary,
    Leadership,
    ScaleRequest,
    Submission,
    explanation,
    health,
    summary,
)
from headgate.adapters.bundles import BundleRefused, BundleStore
from headgate.adapters.metrics import METRICS_TYPE, metrics_text
from headgate.core.job_file import read_job
from headgate.core.mistakes import did_you_mean
from headgate.errors import BadJob, HeadgateError, StaleLeader, StoreUnavailable, UnknownJob
from headgate.model.command import Cancel, Pause, Receipt, Restart, Resume, Scale, Submit
from headgate.model.ids import JobName
from headgate.model.job import JobSpec
from headgate.model.view import AgentView, JobView, View
from headgate.model.waiting import AgentExplanation, DryRun

VERSION = "1"
_NAMED_MAX = 20
"""More names than this are not told when one is wrong."""
_ABOUT = """Jobs in and out of the Headgate scheduler, and what it shows of itself.

Errors are JSON, `{"error": …, "mistakes": […]}`.  With a token set, send `Authorization: Bearer …`; /health, /ready and
the bundles that agents fetch are open."""


def api_application(gate: Gate, store: BundleStore, *, token: str | None, hosts: frozenset[str]) -> ASGIApp:
    """The application.  Without a token it answers only requests whose Host header is in `hosts` or is loopback."""
    application = Litestar(
        route_handlers=[
            list_jobs,
            submit_job,
            show_job,
            explain_job,
            scale_job,
            pause_job,
            resume_job,
            restart_job,
            cancel_job,
            try_job,
            list_agents,
            explain_agent,
            show_view,
            put_bundle,
            get_bundle,
            get_health,
            get_ready,
            get_metrics,
        ],
        state=State({"gate": gate, "bundles": store}),
        exception_handlers={Exception: _answer},
        request_max_body_size=bundles.BYTES_MAX + 1024,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Headgate", version=VERSION, description=_ABOUT, use_handler_docstrings=True
        ),
    )
    forwarding = Forwarding(application, leadership=gate.leadership, body_bytes_max=bundles.BYTES_MAX + 1024)
    return Guard(forwarding, token=token, hosts=hosts)


@get("/v1/jobs", sync_to_thread=False)
def list_jobs(state: State) -> list[JobSummary]:
    """All jobs, those that are over included."""
    return [summary(job) for job in _view(state).jobs]


@post("/v1/jobs", sync_to_thread=True)
def submit_job(state: State, data: JSONBody[Submission]) -> Response[Receipt]:
    """Run a job.  Its bundle must have been put before; a name in use is refused."""
    read = read_job(data.job)
    if not isinstance(read, JobSpec):
        raise BadJob(tuple(str(mistake) for mistake in read))
    if state.bundles.find(data.bundle) is None:
        raise BadJob((f"bundle: there is no bundle {data.bundle} here; PUT it to /v1/bundles/<its SHA-256>.zip first",))
    spec = replace(read, program=replace(read.program, sha256=data.bundle))
    running = _view(state).find_job(spec.name)
    try:
        receipt: Receipt = state.gate.ask(Submit(spec=spec))
    except BadJob as problem:
        if running is not None and not running.state.over:
            raise HTTPException(status_code=409, detail=problem.mistakes[0]) from problem
        raise
    return Response(receipt, status_code=201, headers={"Location": f"/v1/jobs/{receipt.job}"})


@get("/v1/jobs/{name:str}", sync_to_thread=False)
def show_job(state: State, name: FromPath[str]) -> JobView:
    """Everything about one job."""
    return _job(_view(state), name)


@get("/v1/jobs/{name:str}/explain", sync_to_thread=False)
def explain_job(state: State, name: FromPath[str]) -> Explanation:
    """Why a job is as it is, and what it waits for."""
    view = _view(state)
    return explanation(_job(view, name), view)


@post("/v1/jobs/{name:str}/scale", status_code=202, sync_to_thread=True)
def scale_job(state: State, name: FromPath[str], data: JSONBody[ScaleRequest]) -> Receipt:
    """Set the number of workers, or give it back to the scaling policy."""
    receipt: Receipt = state.gate.ask(Scale(job=JobName(name), workers=data.workers))
    return receipt


@post("/v1/jobs/{name:str}/pause", status_code=202, sync_to_thread=True)
def pause_job(state: State, name: FromPath[str]) -> Receipt:
    """Let a job rest: last checkpoints, then the end of its workers.  It keeps its place and its state."""
    receipt: Receipt = state.gate.ask(Pause(job=JobName(name)))
    return receipt


@post("/v1/jobs/{name:str}/resume", status_code=202, sync_to_thread=True)
def resume_job(state: State, name: FromPath[str]) -> Receipt:
    """Let a job that rests go on from its last checkpoints."""
    receipt: Receipt = state.gate.ask(Resume(job=JobName(name)))
    return receipt


@post("/v1/jobs/{name:str}/restart", status_code=202, sync_to_thread=True)
def restart_job(state: State, name: FromPath[str]) -> Receipt:
    """Replace a job's workers, a few at a time."""
    receipt: Receipt = state.gate.ask(Restart(job=JobName(name)))
    return receipt


@post("/v1/dry-run", status_code=200, sync_to_thread=True)
def try_job(state: State, data: JSONBody[DryRunRequest]) -> DryRun:
    """What would become of a job if it were submitted now: which workers would start where, why others would wait."""
    read = read_job(data.job)
    if not isinstance(read, JobSpec):
        raise BadJob(tuple(str(mistake) for mistake in read))
    found: DryRun = state.gate.dry_run(read)
    return found


@get("/v1/agents", sync_to_thread=False)
def list_agents(state: State) -> list[AgentView]:
    """All agents that were ever offered to this scheduler, as they last were."""
    return list(_view(state).agents)


@get("/v1/agents/{name:str}/explain", sync_to_thread=True)
def explain_agent(state: State, name: FromPath[str]) -> AgentExplanation:
    """What became of an agent's last offers, and what jobs that wait lack there; by host name, id, or the id's end."""
    agents = _view(state).agents
    ids = [agent.id for agent in agents if name in (agent.id, agent.hostname, agent.id.rpartition("-")[2])]
    found = [each for each in (state.gate.explain_agent(agent_id) for agent_id in ids) if each is not None]
    if not found:
        hosts = sorted({agent.hostname for agent in agents})
        known = did_you_mean(name, hosts) if 0 < len(hosts) <= _NAMED_MAX else ""
        raise HTTPException(status_code=404, detail=f"no agent {name} has been offered{known}")
    newest: AgentExplanation = max(found, key=lambda each: each.seen_at)
    return newest


@delete("/v1/jobs/{name:str}", status_code=202, sync_to_thread=True)
def cancel_job(state: State, name: FromPath[str]) -> Receipt:
    """Stop a job: last checkpoints, then the end of its workers."""
    receipt: Receipt = state.gate.ask(Cancel(job=JobName(name)))
    return receipt


@get("/v1/view", sync_to_thread=False)
def show_view(state: State) -> View:
    """All the scheduler shows of itself: master, jobs, agents, offers, tasks, events."""
    return _view(state)


@put("/v1/bundles/{name:str}", status_code=204)
async def put_bundle(state: State, request: Request[Any, Any, Any], name: FromPath[str]) -> None:
    """Keep a program's bundle under `<its SHA-256>.zip`.  Repeating it changes nothing."""
    await asyncio.to_thread(state.bundles.save, name.removesuffix(".zip"), await request.body())


@get("/v1/bundles/{name:str}", sync_to_thread=True, media_type="application/zip")
def get_bundle(state: State, name: FromPath[str]) -> File:
    """A program's bundle.  Agents fetch it without a token: who knows the hash knows the content."""
    path = state.bundles.find(name.removesuffix(".zip"))
    if path is None:
        raise HTTPException(status_code=404, detail=f"there is no bundle {name} here")
    return File(path=path, filename=path.name, media_type="application/zip")


@get("/health", sync_to_thread=False)
def get_health(state: State) -> Health:
    """200 while the scheduler lives, connected or not, leading or not."""
    return _health(state)


@get("/ready", sync_to_thread=False)
def get_ready(state: State) -> Response[Health]:
    """200 when the scheduler leads, is connected to the master and sure of its tasks; 503 with the reason if not."""
    found = _health(state)
    return Response(found, status_code=200 if found.ready else 503)


@get("/metrics", sync_to_thread=False, media_type=METRICS_TYPE)
def get_metrics(state: State) -> bytes:
    """Prometheus metrics of the scheduler and its jobs."""
    leadership: Leadership = state.gate.leadership()
    return metrics_text(_view(state), leads=leadership.leads)


def _health(state: State) -> Health:
    return health(_view(state), state.gate.leadership())


def _view(state: State) -> View:
    view: View = state.gate.view()
    return view


def _job(view: View, name: str) -> JobView:
    job = view.find_job(name)
    if job is None:
        known = [each.name for each in view.jobs]
        raise UnknownJob(
            f"there is no job {name}{did_you_mean(name, known[-_NAMED_MAX:]) if known else '; none has been submitted'}"
        )
    return job


def _answer(_: Request[Any, Any, State], problem: Exception) -> Response[ApiError]:
    """What the caller is told; our own mistakes are raised again and end as a 500 with their traceback in the log."""
    if isinstance(problem, BadJob):
        return Response(_refusal(problem), status_code=422)
    if isinstance(problem, HTTPException):
        extra = problem.extra if isinstance(problem.extra, list) else []
        mistakes = tuple(
            f"{each.get('key', 'body')}: {each.get('message')}" for each in extra if isinstance(each, dict)
        )
        return Response(ApiError(error=problem.detail, mistakes=mistakes), status_code=problem.status_code)
    if isinstance(problem, HeadgateError):
        return Response(ApiError(error=str(problem)), status_code=_STATUS.get(type(problem), 500))
    raise problem


_STATUS = {UnknownJob: 404, BundleRefused: 422, StoreUnavailable: 503, StaleLeader: 503}


def _refusal(problem: BadJob) -> ApiError:
    count = len(problem.mistakes)
    error = problem.mistakes[0] if count == 1 else f"refused for {count} reasons"
    return ApiError(error=error, mistakes=problem.mistakes)
