"""`GET /files/...`: signed and expiring result URLs."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from airflow_provider_qwenimage.simulator import striking
from airflow_provider_qwenimage.simulator.broken_files import FIXED, SPOILT, oss_error
from airflow_provider_qwenimage.simulator.faults import Armed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from airflow_provider_qwenimage.simulator.gallery import File
    from airflow_provider_qwenimage.simulator.state import State


class Files:
    """Serves the gallery."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def get(self, request: Request) -> ASGIApp:
        """Answer a GET of a result URL."""
        gateway = request.path_params["gateway"]
        self._state.count(gateway, "files")
        if "authorization" in request.headers:
            self._state.count(gateway, "authorization_on_files")
        # Like OSS, the signature covers the method: a signed GET URL does not answer HEAD.
        genuine = self._state.gallery.signed(request.url.path, request.query_params, method=request.method)
        if not genuine:
            return oss_error(403, "AccessDenied", "The request signature we calculated does not match.")
        if int(request.query_params["Expires"]) < time.time():
            return oss_error(403, "AccessDenied", "Request has expired.")
        file = self._state.gallery.find(request.path_params["name"].partition(".")[0])
        if file is None or file.gateway != gateway:
            return oss_error(404, "NoSuchKey", "The specified key does not exist.")
        file.fetched += 1
        armed = self._struck(request, file)
        return await (self._broken(request, file, armed) if armed else self._whole(file))

    def _struck(self, request: Request, file: File) -> Armed | None:
        if file.fault and (file.fault != "file_500_once" or file.fetched == 1):
            return Armed(file.fault)
        header = request.headers.get("x-simulator-fault")
        text = f"{request.url.path} {file.picture.prompt}"
        return self._state.faults.pick(gateway=file.gateway, on="file", text=text, header=header)

    async def _whole(self, file: File) -> Response:
        content = await run_in_threadpool(self._state.gallery.content, file)
        return Response(content, media_type=f"image/{file.picture.image_format}")

    async def _broken(self, request: Request, file: File, armed: Armed) -> ASGIApp:
        name = armed.fault
        if name in FIXED:
            return FIXED[name]()
        if name in SPOILT:
            content = await run_in_threadpool(self._state.gallery.content, file)
            return SPOILT[name](content, self._state)
        if name in ("file_redirect", "file_redirect_loop"):
            return RedirectResponse(self._onward(request, file, name), 302)
        if name == "file_slow":
            await asyncio.sleep(self._state.settings.slow_seconds if armed.seconds is None else armed.seconds)
        answer = striking.plain(armed, shape="native", request_id=str(uuid.uuid4()), state=self._state)
        return answer or await self._whole(file)

    def _onward(self, request: Request, file: File, name: str) -> str:
        if name == "file_redirect_loop":
            return str(request.url)
        good = self._state.gallery.hang(file.picture, gateway=file.gateway)
        return self._state.gallery.link(good, f"{request.url.scheme}://{request.headers['host']}")
