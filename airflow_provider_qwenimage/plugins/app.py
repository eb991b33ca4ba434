"""
The application behind the tab *Images*: one page, its files, and the images a task instance recorded.

Everything is a GET. The page reads XCom through Airflow's public REST API as the user who looks at it; what is
served here is asked for by the same rule: the user must be allowed to read the XComs of the Dag.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response  # noqa: TID253
from starlette.concurrency import run_in_threadpool  # noqa: TID253
from starlette.responses import StreamingResponse  # noqa: TID253

from airflow_provider_qwenimage.plugins import serving
from airflow_provider_qwenimage.plugins.records import Instance, Recorded, Records
from airflow_provider_qwenimage.plugins.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from airflow_provider_qwenimage.storage.s3 import StoredObject

# The page cannot turn text into HTML, not even by mistake: that is what the last rule is for.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
)
_PROTECTION = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Kept by the browser, shown only after the server has checked the permission again.
_CACHING = "private, no-cache"
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_FRONT_END = files("airflow_provider_qwenimage.plugins") / "gallery"


class _Gallery(FastAPI):
    """A FastAPI application that remembers which application it is mounted in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["airflow"] = scope.get("app")
        await super().__call__(scope, receive, send)


app = _Gallery(title="Qwen Image gallery", docs_url=None, redoc_url=None, openapi_url=None)
_records = Records()
_may_read_xcom = Depends(requires_access_dag("GET", DagAccessEntity.XCOM))


@app.middleware("http")
async def protect(request: Request, proceed: Any) -> Response:
    """Give every answer, refusals too, the headers that keep it what it is."""
    response: Response = await proceed(request)
    for name, value in _PROTECTION.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", _CACHING)
    return response


def _instance(
    dag_id: str, run_id: str, task_id: str, map_index: Annotated[int, Query(ge=-1)] = -1
) -> Instance:
    instance = Instance(dag_id, run_id, task_id, map_index)
    if not instance.is_one:
        raise HTTPException(404, "There is no such task instance.")
    return instance


_TheInstance = Annotated[Instance, Depends(_instance)]


@app.get("/gallery", dependencies=[_may_read_xcom])
def gallery(dag_id: str) -> Response:  # noqa: ARG001 - named for the permission, which is asked for it
    """Serve the page; what it shows it finds out itself."""
    return _file("index.html")


@app.get("/static/{name}", dependencies=[Depends(get_user)])
def static(name: str) -> Response:
    """Serve a file of the page."""
    if name not in {entry.name for entry in _FRONT_END.iterdir()}:
        raise HTTPException(404, "There is no such file.")
    return _file(name)


@app.get("/image", dependencies=[_may_read_xcom])
async def image(request: Request, instance: _TheInstance, uri: str, download: bool = False) -> Response:
    """Serve an image the task instance recorded, and no other."""
    recorded = await _records.of(instance, _api(request), uri=uri)
    sha256 = recorded.images.get(uri)
    if sha256 is None:
        raise HTTPException(404, "This task instance recorded no such image.")
    headers = {"ETag": f'"{sha256}"', "Cache-Control": _CACHING}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    try:
        found = await run_in_threadpool(serving.image, uri, sha256=sha256, aws_conn_id=recorded.aws_conn_id)
    except serving.NotServed as error:
        raise HTTPException(404, str(error)) from error
    headers["Content-Length"] = str(found.size)
    headers["Content-Disposition"] = _disposition(uri, download=download)
    return StreamingResponse(found.chunks(), media_type=found.content_type, headers=headers)


@app.get("/manifest", dependencies=[_may_read_xcom])
async def manifest(
    request: Request, instance: _TheInstance, page: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    """
    Serve the manifest the task instance wrote, as it lies in the bucket.

    :param page: only the images of this page, counted from 0, and how many pages there are.
    """
    recorded = await _records.of(instance, _api(request))
    if recorded.manifest is None:
        raise HTTPException(404, "This task instance recorded no manifest.")
    try:
        return await run_in_threadpool(_manifest, recorded.manifest, instance, recorded, page)
    except serving.NotServed as error:
        raise HTTPException(404, str(error)) from error


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


def _api(request: Request) -> RestApi:
    return RestApi(request.state.airflow, request.scope)


def _file(name: str) -> Response:
    kind = _TYPES[name.rpartition(".")[2]]
    return Response((_FRONT_END / name).read_bytes(), media_type=kind)


def _disposition(uri: str, *, download: bool) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", uri.rpartition("/")[2])
    return f'{"attachment" if download else "inline"}; filename="{name}"'
