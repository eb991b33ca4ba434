"""The routes of images: each as it was stored, small, or several of them in one zip."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response  # noqa: TID253
from starlette.concurrency import run_in_threadpool  # noqa: TID253
from starlette.responses import StreamingResponse  # noqa: TID253

from airflow_provider_qwenimage.plugins import serving
from airflow_provider_qwenimage.plugins.access import TheInstance, api, may_read_xcom, records
from airflow_provider_qwenimage.plugins.thumbnails import content_type, thumbnails

if TYPE_CHECKING:
    from airflow_provider_qwenimage.plugins.records import Recorded

# Kept by the browser, shown only after the server has checked the permission again.
CACHING = "private, no-cache"
_ABSENT = "This task instance recorded no such image."

router = APIRouter(dependencies=[may_read_xcom])


@router.get("/image")
async def image(request: Request, of: TheInstance, uri: str, download: bool = False) -> Response:
    """Serve an image the task instance recorded, and no other."""
    recorded = await records.of(of, api(request), uri=uri)
    return await _whole(request, recorded, uri, download=download)


@router.get("/thumbnail")
async def thumbnail(request: Request, of: TheInstance, uri: str) -> Response:
    """Serve an image the task instance recorded in small; where it cannot be made small, as it is."""
    recorded = await records.of(of, api(request), uri=uri)
    made, sha256 = thumbnails(), recorded.images.get(uri)
    if made is None or sha256 is None:
        return await _whole(request, recorded, uri)
    headers = {"ETag": f'"{sha256}-small"', "Cache-Control": CACHING}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    try:
        loop = asyncio.get_running_loop()
        small = await loop.run_in_executor(made.threads, made.of, uri, sha256, recorded.aws_conn_id)
    except serving.NotServed as error:
        raise HTTPException(404, str(error)) from error
    if small is None:
        return await _whole(request, recorded, uri)
    return Response(small, media_type=content_type(small), headers=headers)


async def _whole(request: Request, recorded: Recorded, uri: str, *, download: bool = False) -> Response:
    sha256 = recorded.images.get(uri)
    if sha256 is None:
        raise HTTPException(404, _ABSENT)
    headers = {"ETag": f'"{sha256}"', "Cache-Control": CACHING}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    try:
        found = await run_in_threadpool(serving.image, uri, sha256=sha256, aws_conn_id=recorded.aws_conn_id)
    except serving.NotServed as error:
        raise HTTPException(404, str(error)) from error
    headers["Content-Length"] = str(found.size)
    headers["Content-Disposition"] = _disposition(uri, download=download)
    return StreamingResponse(found.chunks(), media_type=found.content_type, headers=headers)


def _disposition(uri: str, *, download: bool) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", uri.rpartition("/")[2])
    return f'{"attachment" if download else "inline"}; filename="{name}"'
