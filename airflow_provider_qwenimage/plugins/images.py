"""The route of images: each as it was stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request, Response  # noqa: TID253
from starlette.concurrency import run_in_threadpool  # noqa: TID253
from starlette.responses import StreamingResponse  # noqa: TID253

from airflow_provider_qwenimage.plugins import serving
from airflow_provider_qwenimage.plugins.access import TheInstance, api, may_read_xcom, records

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
