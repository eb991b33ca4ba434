"""One gateway: its routes, from arrival to reply."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from airflow_provider_qwenimage.simulator import errors, replies, striking
from airflow_provider_qwenimage.simulator.arrival import body_of, read_ask
from airflow_provider_qwenimage.simulator.broken import BrokenReply, chunk, head
from airflow_provider_qwenimage.simulator.making import Making
from airflow_provider_qwenimage.simulator.references import load
from airflow_provider_qwenimage.simulator.rules import check
from airflow_provider_qwenimage.simulator.state import Seen, State
from airflow_provider_qwenimage.simulator.streaming import error_event, error_frame, events, frames
from airflow_provider_qwenimage.simulator.vendor import MODELS, GatewayRow, Refusal, RefusedError, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from airflow_provider_qwenimage.simulator.asks import Ask
    from airflow_provider_qwenimage.simulator.faults import Armed
    from airflow_provider_qwenimage.simulator.replies import Made

    Answer = Callable[[Request, Made, Armed | None], Awaitable[ASGIApp]]
    Failing = Callable[[int, str], bytes]

EVENT_STREAM = "text/event-stream;charset=UTF-8"
_JSON = "application/json"


class Gateway:
    """Answers for one row of `vendor.toml`."""

    def __init__(self, row: GatewayRow, state: State) -> None:
        self.row = row
        self.state = state

    def routes(self) -> list[Route]:
        """The gateway's paths, and a refusal in its own shape for all others."""
        anything = ["GET", "POST", "PUT", "DELETE"]
        return [*self.own_routes(), Route("/{rest:path}", self.nowhere, methods=anything)]

    def own_routes(self) -> list[Route]:
        """The paths of an OpenAI-style gateway."""
        base = "/compatible-mode/v1" if self.row.kind == "compatible" else "/v1"
        posts = [f"{base}/images/generations", *([f"{base}/images/edits"] if self.row.edits else [])]
        return [
            Route(f"{base}/models", self.models),
            *(Route(path, self.generations, methods=["POST"]) for path in posts),
            Route("/v1/images/{file_id}/content", self.content),
        ]

    async def generations(self, request: Request) -> ASGIApp:
        """Generate or edit, and answer when it is done."""
        return await self.generate(request, self._answer)

    async def generate(self, request: Request, answer: Answer) -> ASGIApp:
        """Take a request from arrival to the images, then `answer` it."""
        request_id, arrived = str(uuid.uuid4()), time.monotonic()
        self.state.count(self.row.name, "posts")
        try:
            body = await body_of(request)
            self.remember(request, "generate", body.shown)
            self.authorise(request)
            ask = read_ask(body, request.url.path, self.row)
            if ask.ruled:
                ask = replace(ask, told=self.state.settings.row(ask.model))
            armed = self.struck(request, "generate", ask.prompt)
            if armed and armed.row.early and (refusal := self.plain(armed, request_id)):
                return refusal
            if kept := self.state.replies.get(self._key(request)):
                if armed and (spoilt := self.plain(armed, request_id)):
                    return spoilt
                return await self.reply(kept, armed, request_id)
            key = request.headers.get("authorization", "")
            self.state.accounts.submit(key, ask.model, at=arrived)
        except RefusedError as error:
            return self.refusal(error.refusal, request_id)
        try:
            made = await self._made(request, ask, armed, request_id)
            self.state.count(self.row.name, "generations")
            return await answer(request, made, armed)
        except RefusedError as error:
            return self.refusal(error.refusal, request_id)
        finally:
            self.state.accounts.answered(key, ask.model, job=getattr(request.state, "job", None))

    async def _made(self, request: Request, ask: Ask, armed: Armed | None, request_id: str) -> Made:
        self._known(ask.model)
        self.mode(ask, request)
        check(ask, self.row)
        ask = self.resolved(ask, request)
        references = await run_in_threadpool(load, ask, self.row) if ask.images else ()
        await asyncio.sleep(self.state.settings.latency)
        base = f"{request.url.scheme}://{request.headers['host']}"
        fault = armed.fault if armed else None
        making = Making(ask, references, self.row, self.state, base, fault, request_id)
        # Only base64 needs the pixels now; everything else is drawn when it is fetched.
        return await run_in_threadpool(making.make)

    async def _answer(self, request: Request, made: Made, armed: Armed | None) -> ASGIApp:
        self.state.count(self.row.name, "billed", len(made.images))
        body = self.body(request, made)
        if request.url.path.endswith("/edits") and self.row.kind == "engine":
            body |= {"output_format": self.state.settings.image_format, "size": "{}x{}".format(*made.size)}
        self.keep(request, body)
        if armed and (spoilt := self.plain(armed, made.request_id)):
            return spoilt
        if self.streams(made.ask, request):
            return self._stream(made, armed, list(frames(made, self.state.settings.sse_mode)), error_frame)
        if made.ask.events and self.row.kind == "engine":
            edited = request.url.path.endswith("/edits")
            return self._stream(made, armed, list(events(made, edited=edited)), error_event)
        if armed and armed.fault == "lost_images_metadata" and self.row.reply == "openai":
            body["metadata"] = replies.choices(made)
        return await self.reply(body, armed, made.request_id)

    def body(self, request: Request, made: Made) -> dict[str, Any]:  # noqa: ARG002
        """What came of it, in the gateway's shape."""
        return replies.SHAPES[self.row.reply](made)

    def _stream(self, made: Made, armed: Armed | None, sent: list[bytes], failing: Failing) -> ASGIApp:
        if armed and armed.fault == "sse_error":
            sent = [*sent[:2], failing(2, made.request_id)]
        if armed and armed.fault == "sse_cut":
            raw = head(EVENT_STREAM, length=None) + chunk(b"".join(sent[:2]))
            return BrokenReply(self.state.sockets, raw, how="reset")
        return StreamingResponse(iter(sent), headers=self._headers(made.request_id), media_type=EVENT_STREAM)

    async def models(self, request: Request) -> ASGIApp:
        """List models."""
        names = self.state.settings.models
        if names is None:
            names = ("Qwen/Qwen-Image",) if self.row.kind == "engine" else tuple(MODELS)
        data = [{"id": name, "object": "model", "created": 1767225600, "owned_by": "ali"} for name in names]
        body: dict[str, Any] = {"object": "list", "data": data}
        return await self.checked(
            request, {"success": True, **body} if self.row.errors == "new-api" else body
        )

    async def content(self, request: Request) -> ASGIApp:
        """The bytes behind a relative URL; the key is needed."""
        try:
            self.authorise(request)
        except RefusedError as error:
            return self.refusal(error.refusal, str(uuid.uuid4()))
        file = self.state.gallery.find(request.path_params["file_id"])
        if file is None:
            return await self.nowhere(request)
        self.state.count(self.row.name, "files")
        drawn = await run_in_threadpool(self.state.gallery.content, file)
        return Response(drawn, media_type=f"image/{file.picture.image_format}")

    async def nowhere(self, request: Request) -> ASGIApp:
        """Refuse a path the gateway does not have."""
        self.remember(request, "unknown", None)
        message = f"Invalid URL ({request.method} {request.url.path})"
        return self.refusal(Refusal(404, "NotFound", message, own=True), str(uuid.uuid4()))

    async def checked(self, request: Request, body: dict[str, Any]) -> ASGIApp:
        """Answer a call that costs nothing."""
        request_id = str(uuid.uuid4())
        self.state.count(self.row.name, "checks")
        self.remember(request, "check", None)
        armed = self.struck(request, "check", request.url.path)
        if armed and (spoilt := self.plain(armed, request_id)):
            return spoilt
        try:
            self.authorise(request)
        except RefusedError as error:
            return self.refusal(error.refusal, request_id)
        return await self.reply(body, armed, request_id)

    def mode(self, ask: Ask, request: Request) -> None:
        """Refuse a request on the wrong endpoint. A router picks the upstream's endpoint itself."""
        if request.url.path.endswith("/edits") and not ask.images:
            raise refused("images", low=1, high=16)

    def streams(self, ask: Ask, request: Request) -> bool:
        """Whether the vendor's SSE is asked for; through a router by the parameter, too (contract 4.4)."""
        return enabled(request, "x-dashscope-sse") and ask.interleave and ask.parameters.get("stream") is True

    def resolved(self, ask: Ask, request: Request) -> Ask:  # noqa: ARG002
        """The request with its uploaded images in place; only the vendor itself has any."""
        return ask

    def authorise(self, request: Request) -> None:
        """Refuse a wrong key."""
        settings = self.state.settings
        if request.headers.get("authorization") not in {
            f"Bearer {key}" for key in (settings.key, *settings.keys)
        }:
            raise refused("key")

    def struck(self, request: Request, on: str, text: str) -> Armed | None:
        """The fault that strikes this request."""
        header = request.headers.get("x-simulator-fault")
        return self.state.faults.pick(gateway=self.row.name, on=on, text=text, header=header)

    def plain(self, armed: Armed, request_id: str) -> ASGIApp | None:
        """The response of a fault that needs no good body."""
        return striking.plain(armed, shape=self.row.errors, request_id=request_id, state=self.state)

    async def reply(self, body: dict[str, Any], armed: Armed | None, request_id: str) -> ASGIApp:
        """A good body, or what a fault makes of it."""
        escaped = self.row.errors == "new-api"
        headers = self._headers(request_id)
        if armed:
            return await striking.spoiled(armed, body, escaped=escaped, state=self.state, headers=headers)
        return Response(striking.rendered(body, escaped=escaped), headers=headers, media_type=_JSON)

    def refusal(self, refusal: Refusal, request_id: str) -> Response:
        """A no in the gateway's own shape."""
        body = striking.rendered(errors.SHAPES[self.row.errors](refusal, request_id))
        return Response(body, refusal.status, self._headers(request_id), _JSON)

    def keep(self, request: Request, body: dict[str, Any]) -> None:
        """Keep a good answer for whoever asks again with the same idempotency key; it is billed once."""
        if key := self._key(request):
            self.state.replies[key] = body

    def _key(self, request: Request) -> tuple[str, str] | None:
        header = self.state.settings.idempotency_header
        value = request.headers.get(header) if header else None
        return (self.row.name, value) if value else None

    def remember(self, request: Request, kind: str, body: Any) -> None:
        """Keep a request for `/_state`, without its key."""
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        seen = Seen(self.row.name, kind, request.method, request.url.path, headers, body)
        self.state.remember(seen)

    def _known(self, model: str) -> None:
        if self.row.kind == "engine" or model in MODELS or model in (self.state.settings.models or ()):
            return
        raise refused("no_model" if self.row.errors == "native" else "no_channel", model=model)

    def _headers(self, request_id: str) -> dict[str, str]:
        return {"X-Oneapi-Request-Id" if self.row.errors == "new-api" else "X-Request-Id": request_id}


def enabled(request: Request, header: str) -> bool:
    """Whether a header of the vendor says `enable`."""
    return request.headers.get(header, "").lower() == "enable"
