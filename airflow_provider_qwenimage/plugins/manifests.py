"""The routes of sets: a manifest as it lies in the bucket, or by pages; what is stored before there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response  # noqa: TID253
from starlette.concurrency import run_in_threadpool  # noqa: TID253
from starlette.responses import JSONResponse, StreamingResponse  # noqa: TID253

from airflow_provider_qwenimage.plugins import serving
from airflow_provider_qwenimage.plugins.access import TheInstance, api, may_read_xcom, records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.plugins.records import Instance, Recorded
    from airflow_provider_qwenimage.storage.stored import StoredObject

router = APIRouter(dependencies=[may_read_xcom])


@router.get("/manifest")
async def manifest(
    request: Request, of: TheInstance, page: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    """
    Serve the manifest the task instance wrote, as it lies in the bucket.

    :param page: only the images of this page, counted from 0, and how many pages there are.
    """
    recorded = await records.of(of, api(request), manifest=True)
    if recorded.manifest is None:
        raise HTTPException(404, "This task instance recorded no manifest.")
    try:
        return await run_in_threadpool(_manifest, recorded.manifest, of, recorded, page)
    except serving.NotServed as error:
        raise HTTPException(404, str(error)) from error


@router.get("/unfinished")
async def unfinished(request: Request, of: TheInstance, after: Annotated[int, Query(ge=0)] = 0) -> Response:
    """
    Serve what a batch without a manifest stored.

    :param after: what an earlier answer told, for what was stored since.
    """
    recorded = await records.of(of, api(request))
    found = recorded.unfinished
    if found is None:
        raise HTTPException(404, "This task instance has no journal that can be read.")
    try:
        part = await run_in_threadpool(found.part, after, of)
    except serving.NotServed as error:
        raise HTTPException(404, str(error)) from error
    return JSONResponse({"images": part.images, "after": part.after, "more": part.more})


def _manifest(uri: str, instance: Instance, recorded: Recorded, page: int | None) -> Response:
    conn_id = recorded.aws_conn_id
    listing = recorded.listing or serving.listing(uri, owner=instance, aws_conn_id=conn_id)
    if page is None:
        found = serving.manifest(uri, of=listing, aws_conn_id=conn_id)
        headers = {"Content-Length": str(found.size)}
        return StreamingResponse(_chunks(found), media_type="application/json", headers=headers)
    if page >= listing.pages:
        raise HTTPException(404, "The manifest has no such page.")
    images = serving.page(uri, page, of=listing, aws_conn_id=conn_id)
    body = b'{"pages": %d, "images": %b}' % (listing.pages, images)
    return Response(body, media_type="application/json")


def _chunks(found: StoredObject) -> Iterator[bytes]:
    with found:
        yield from found.chunks()
