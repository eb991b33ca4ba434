"""
The application behind the pages: the pages themselves, their files, and the images that tasks recorded.

Everything is a GET. The pages read XCom through Airflow's public REST API as the user who looks at them; what is
served here is asked for by the same rule: the user must be allowed to read the XComs of the Dag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Request, Response  # noqa: TID253

from airflow_provider_qwenimage.plugins import access, front_end, images, manifests, zips
from airflow_provider_qwenimage.plugins.access import may_read_xcom
from airflow_provider_qwenimage.plugins.records import Instance

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

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
_FOR_GOOD = "private, max-age=31536000, immutable"


class _Gallery(FastAPI):
    """A FastAPI application that remembers which application it is mounted in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["airflow"] = scope.get("app")
        await super().__call__(scope, receive, send)


app = _Gallery(title="Qwen Image gallery", docs_url=None, redoc_url=None, openapi_url=None)
app.include_router(images.router)
app.include_router(manifests.router)
app.include_router(zips.router)


@app.middleware("http")
async def protect(request: Request, proceed: Any) -> Response:
    """Give every answer, refusals too, the headers that keep it what it is."""
    response: Response = await proceed(request)
    for name, value in _PROTECTION.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", images.CACHING)
    return response


@app.get("/gallery", dependencies=[may_read_xcom])
async def gallery(
    request: Request, dag_id: str, run_id: str = "", task_id: str = "", map_index: str = ""
) -> Response:
    """Serve the page; what it shows it finds out itself. A task that asks for an approval has a page of its own."""
    # Airflow leaves {MAP_INDEX} in the address of a task that is not mapped.
    index = int(map_index) if map_index.isdecimal() else -1
    instance = Instance(dag_id, run_id, task_id, index)
    asks = instance.is_one and await access.records.asks(instance, access.api(request))
    return _page("approval.html" if asks else "index.html")


@app.get("/library", dependencies=[Depends(get_user)])
def library() -> Response:
    """Serve the page of all runs; Airflow tells it of those that the user may read."""
    return _page("library.html")


@app.get("/spend", dependencies=[Depends(get_user)])
def spend() -> Response:
    """Serve the page of what was spent, of which the same holds."""
    return _page("spend.html")


@app.get("/static/{version}/{name}", dependencies=[Depends(get_user)])
def static(version: str, name: str) -> Response:
    """Serve a file of the pages, for good: a page that is older than the package gets the new one, for now."""
    content = front_end.contents().get(name)
    if content is None:
        raise HTTPException(404, "There is no such file.")
    headers = {"Cache-Control": _FOR_GOOD} if version == front_end.version() else {}
    return Response(content, headers=headers, media_type=front_end.TYPES[name.rpartition(".")[2]])


def _page(name: str) -> Response:
    return Response(front_end.page(name), media_type=front_end.TYPES["html"])
