"""Alibaba's own API: synchronous and job endpoints, polls, cancel, list (contract section 4)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from airflow_provider_qwenimage.simulator import replies
from airflow_provider_qwenimage.simulator.gateway import Gateway, streams
from airflow_provider_qwenimage.simulator.jobs import Job, poll_body
from airflow_provider_qwenimage.simulator.vendor import RefusedError, refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from airflow_provider_qwenimage.simulator.asks import Ask
    from airflow_provider_qwenimage.simulator.faults import Armed
    from airflow_provider_qwenimage.simulator.replies import Made

_SERVICES = "/api/v1/services/aigc"
_JOBS = ("image-generation/generation", "text2image/image-synthesis", "image2image/image-synthesis")


class DashScope(Gateway):
    """One region of DashScope."""

    def own_routes(self) -> list[Route]:
        """The vendor's paths."""
        return [
            Route(f"{_SERVICES}/multimodal-generation/generation", self.generations, methods=["POST"]),
            *(Route(f"{_SERVICES}/{path}", self.submit, methods=["POST"]) for path in _JOBS),
            Route("/api/v1/tasks", self.tasks),
            Route("/api/v1/tasks/{job_id}", self.poll),
            Route("/api/v1/tasks/{job_id}/cancel", self.cancel, methods=["POST"]),
            Route("/compatible-mode/v1/models", self.models),
        ]

    async def submit(self, request: Request) -> ASGIApp:
        """Start a job and answer with its id."""
        return await self.generate(request, self._submit)

    async def _submit(self, request: Request, made: Made, armed: Armed | None) -> ASGIApp:
        if made.ask.shape == "translation":
            body = replies.translated(made, without_text=bool(armed and armed.fault == "no_text"))
        else:
            legacy = request.url.path.endswith("image-synthesis")
            body = replies.results(made) if legacy else replies.choices(made)
        job = self.state.jobs.submit(
            gateway=self.row.name,
            model=made.ask.model,
            reply=body,
            images=len(made.images),
            fault=armed.fault if armed else None,
        )
        if armed and (spoilt := self.plain(armed, made.request_id)):
            return spoilt
        body = {"output": {"task_id": job.id, "task_status": "PENDING"}, "request_id": made.request_id}
        return await self.reply(body, armed, made.request_id)

    async def poll(self, request: Request) -> ASGIApp:
        """Tell how a job is."""
        request_id = str(uuid.uuid4())
        rate = self.state.poll(self.row.name)
        try:
            self.authorise(request)
            if self.state.settings.poll_limit and rate > self.state.settings.poll_limit:
                raise refused("throttled")
        except RefusedError as error:
            return self.refusal(error.refusal, request_id)
        job_id = request.path_params["job_id"]
        armed = self.struck(request, "poll", job_id)
        if armed and (spoilt := self.plain(armed, request_id)):
            return spoilt
        job = self.state.jobs.find(job_id, gateway=self.row.name)
        return await self.reply(poll_body(job, job_id, request_id), armed, request_id)

    async def cancel(self, request: Request) -> ASGIApp:
        """Cancel a job that is PENDING."""
        request_id = str(uuid.uuid4())
        self.state.count(self.row.name, "cancels")
        self.remember(request, "cancel", None)
        try:
            self.authorise(request)
            armed = self.struck(request, "cancel", request.url.path)
            if armed and (spoilt := self.plain(armed, request_id)):
                return spoilt
            job = self.state.jobs.find(request.path_params["job_id"], gateway=self.row.name)
            if job is None or not self.state.jobs.cancel(job):
                raise refused("not_cancelable")
        except RefusedError as error:
            return self.refusal(error.refusal, request_id)
        return await self.reply({"request_id": request_id}, armed, request_id)

    async def tasks(self, request: Request) -> ASGIApp:
        """List jobs."""
        found = self.state.jobs.list(self.row.name)
        page = _positive(request.query_params.get("page_no"), 1)
        size = _positive(request.query_params.get("page_size"), 10)
        shown = [_listed(job) for job in found[(page - 1) * size : page * size]]
        facts = {
            "total": len(found),
            "total_page": -(-len(found) // size),
            "page_no": page,
            "page_size": size,
        }
        return await self.checked(request, {**facts, "data": shown})

    def mode(self, ask: Ask, request: Request) -> None:
        """Refuse the wrong endpoint, a missing or superfluous async header, a missing stream (4.1, 4.4)."""
        if ask.row is None:
            return
        wants_job = request.headers.get("x-dashscope-async", "").lower() == "enable"
        endpoint = request.url.path.split("/")[-2]
        if endpoint != "multimodal-generation":
            if ask.row.job != endpoint:
                raise refused("no_async" if ask.row.job is None else "url")
            if not wants_job:
                raise refused("no_sync")
            return
        if not ask.row.sync:
            raise refused("no_sync")
        if wants_job:
            raise refused("no_async")
        if ask.interleave and not streams(ask, request):
            raise refused("stream")


def _positive(text: str | None, default: int) -> int:
    return max(1, int(text)) if text and text.isdigit() else default


def _listed(job: Job) -> dict[str, Any]:
    return {"task_id": job.id, "model_name": job.model, "status": job.status, **job.times()}
