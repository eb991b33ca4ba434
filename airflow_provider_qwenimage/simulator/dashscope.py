"""Alibaba's own API: synchronous and job endpoints, polls, cancel, list, uploads (contract section 4)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_qwenimage.simulator import replies
from airflow_provider_qwenimage.simulator.broken_files import oss_error
from airflow_provider_qwenimage.simulator.gateway import Gateway, enabled
from airflow_provider_qwenimage.simulator.job_list import listed
from airflow_provider_qwenimage.simulator.jobs import poll_body
from airflow_provider_qwenimage.simulator.vendor import GATEWAYS, RefusedError, refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from airflow_provider_qwenimage.simulator.asks import Ask
    from airflow_provider_qwenimage.simulator.faults import Armed
    from airflow_provider_qwenimage.simulator.replies import Made

_SERVICES = "/api/v1/services/aigc"
_JOB_HEADER = "x-dashscope-async"
_JOBS = ("image-generation/generation", "text2image/image-synthesis", "image2image/image-synthesis")


class DashScope(Gateway):
    """One region of DashScope."""

    def own_routes(self) -> list[Route]:
        """The vendor's paths."""
        return [
            Route(f"{_SERVICES}/multimodal-generation/generation", self.generations, methods=["POST"]),
            *(Route(f"{_SERVICES}/{path}", self.submit, methods=["POST"]) for path in _JOBS),
            *(Route(path, self.tasks) for path in ("/api/v1/tasks", "/api/v1/tasks/")),
            Route("/api/v1/tasks/{job_id}", self.poll),
            Route("/api/v1/tasks/{job_id}/", self.poll),
            Route("/api/v1/tasks/{job_id}/cancel", self.cancel, methods=["POST"]),
            Route("/api/v1/uploads", self.upload_policy),
            Route("/oss", self.store, methods=["POST"]),
            *self._compatible_mode(),
        ]

    def _compatible_mode(self) -> list[Route]:
        """The same service in OpenAI's shapes, as on the workspace hosts."""
        row = replace(GATEWAYS["dashscope-compatible"], name=self.row.name)
        return Gateway(row, self.state).own_routes()

    async def submit(self, request: Request) -> ASGIApp:
        """Start a job and answer with its id; with the images where none is asked for and the model can."""
        wants_job = enabled(request, _JOB_HEADER)
        return await self.generate(request, self._submit if wants_job else self._answer)

    async def _submit(self, request: Request, made: Made, armed: Armed | None) -> ASGIApp:
        if made.ask.shape == "translation":
            body = replies.translated(made, without_text=bool(armed and armed.fault == "no_text"))
        else:
            body = self.body(request, made)
        job = self.state.jobs.submit(
            gateway=self.row.name,
            model=made.ask.model,
            reply=body,
            images=len(made.images),
            fault=armed.fault if armed else None,
            endpoint="/".join(request.url.path.split("/")[-2:]),
            request_id=made.request_id,
            key=_key(request),
        )
        request.state.job = job.id
        body = {"output": {"task_id": job.id, "task_status": "PENDING"}, "request_id": made.request_id}
        self.keep(request, body)
        if armed and (spoilt := self.plain(armed, made.request_id)):
            return spoilt
        return await self.reply(body, armed, made.request_id)

    def body(self, request: Request, made: Made) -> dict[str, Any]:
        """What came of it, in the shape of the endpoint."""
        legacy = request.url.path.endswith("image-synthesis")
        return replies.results(made) if legacy else replies.choices(made)

    async def upload_policy(self, request: Request) -> ASGIApp:
        """Allow a temporary file to be uploaded."""
        query = request.query_params
        if query.get("action") != "getPolicy" or not query.get("model"):
            return self.refusal(refused("missing", field="action, model").refusal, str(uuid.uuid4()))
        host = f"{request.url.scheme}://{request.headers['host']}/{self.row.name}/oss"
        body = {"data": self.state.uploads.policy(host), "request_id": str(uuid.uuid4())}
        return await self.checked(request, body)

    async def store(self, request: Request) -> Response:
        """Take a file that a policy allows, as OSS does."""
        async with request.form() as form:
            file, key, signature = (form.get(name) for name in ("file", "key", "Signature"))
            if not isinstance(file, UploadFile):
                return oss_error(400, "InvalidArgument", "The form has no file.")
            if not self.state.uploads.store(str(key), str(signature), await file.read()):
                return oss_error(403, "AccessDenied", "Invalid according to Policy.")
        return Response(status_code=200)

    def resolved(self, ask: Ask, request: Request) -> Ask:
        """The request with its temporary files in place of their links, where the header says to look."""
        resolving = enabled(request, "x-dashscope-ossresourceresolve")
        return replace(ask, images=tuple(self._resolved(image, resolving) for image in ask.images))

    def _resolved(self, image: str | bytes, resolving: bool) -> str | bytes:
        if not (isinstance(image, str) and image.startswith("oss://")):
            return image
        found = self.state.uploads.find(image) if resolving else None
        if found is None:
            raise refused("download")
        return found

    def streams(self, ask: Ask, request: Request) -> bool:  # noqa: ARG002
        """Whether SSE is asked for: the header alone says so."""
        return enabled(request, "x-dashscope-sse")

    async def poll(self, request: Request) -> ASGIApp:
        """Tell how a job is."""
        request_id = str(uuid.uuid4())
        rate = self.state.poll(self.row.name)
        try:
            self.authorise(request)
            self.state.accounts.poll(request.headers.get("authorization", ""))
            if self.state.settings.poll_limit and rate > self.state.settings.poll_limit:
                raise refused("throttled")
        except RefusedError as error:
            return self.refusal(error.refusal, request_id)
        job_id = request.path_params["job_id"]
        armed = self.struck(request, "poll", job_id)
        if armed and (spoilt := self.plain(armed, request_id)):
            return spoilt
        job = self.state.jobs.find(job_id, gateway=self.row.name, key=_key(request))
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
            job = self.state.jobs.find(
                request.path_params["job_id"], gateway=self.row.name, key=_key(request)
            )
            if job is None or not self.state.jobs.cancel(job):
                raise refused("not_cancelable")
        except RefusedError as error:
            return self.refusal(error.refusal, request_id)
        return await self.reply({"request_id": request_id}, armed, request_id)

    async def tasks(self, request: Request) -> ASGIApp:
        """List jobs."""
        request_id = str(uuid.uuid4())
        jobs = self.state.jobs.list(self.row.name, key=_key(request))
        try:
            body = listed(jobs, request.query_params, request_id=request_id, now=time())
        except RefusedError as error:
            return self.refusal(error.refusal, request_id)
        return await self.checked(request, body)

    def mode(self, ask: Ask, request: Request) -> None:
        """Refuse the wrong endpoint, a missing or superfluous async header, a missing stream (4.1, 4.4)."""
        if ask.row is None:
            return
        wants_job = enabled(request, _JOB_HEADER)
        endpoint = request.url.path.split("/")[-2]
        if endpoint != "multimodal-generation":
            if ask.row.job != endpoint:
                raise refused("no_async" if ask.row.job is None else "url")
            if not (wants_job or ask.row.job_sync):
                raise refused("no_sync")
            return
        if not ask.row.sync:
            raise refused("no_sync")
        if wants_job:
            raise refused("no_async")
        if ask.interleave and not self.streams(ask, request):
            raise refused("stream")


def _key(request: Request) -> str:
    return request.headers.get("authorization", "")
