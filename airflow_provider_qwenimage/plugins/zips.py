"""The route of zips: images that tasks of one run recorded, named in an address that proxies still take."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response  # noqa: TID253
from starlette.responses import StreamingResponse  # noqa: TID253

from airflow_provider_qwenimage.plugins.access import api, may_read_xcom, records
from airflow_provider_qwenimage.plugins.records import Instance
from airflow_provider_qwenimage.plugins.zipped import MOST, Wanted, safe, zipped

router = APIRouter(dependencies=[may_read_xcom])
_Texts = Annotated[list[str], Query(max_length=MOST)]
_Numbers = Annotated[list[int], Query(max_length=MOST)]


class _Folder(NamedTuple):
    """Images of one task that lie in one folder, whose URIs begin alike."""

    task_id: str
    map_index: int
    prefix: str
    names: list[str]


def _folders(task_id: _Texts, map_index: _Numbers, folder: _Texts, names: _Texts) -> list[_Folder]:
    """
    Return what is asked for.

    :param task_id: one for each folder, as are the others.
    :param names: what the URIs in the folder end with, parted by slashes.
    """
    if not len(task_id) == len(map_index) == len(folder) == len(names):
        raise HTTPException(422, "There must be as many of task_id, map_index, folder and names.")
    found = [
        _Folder(task, index, prefix, ends.split("/"))
        for task, index, prefix, ends in zip(task_id, map_index, folder, names, strict=True)
    ]
    if sum(len(folder.names) for folder in found) > MOST:
        raise HTTPException(422, f"A zip has {MOST} images at most.")
    return found


@router.get("/zip")
async def several(
    request: Request, dag_id: str, run_id: str, folders: Annotated[list[_Folder], Depends(_folders)]
) -> Response:
    """Serve several images as one zip; where the tasks did not record all of them, none is served."""
    wanted: list[Wanted] = []
    for folder in folders:
        instance = Instance(dag_id, run_id, folder.task_id, folder.map_index)
        if not instance.is_one:
            raise HTTPException(404, "There is no such task instance.")
        wanted += await _recorded(request, instance, folder, several=len(folders) > 1)
    headers = {"Content-Disposition": f'attachment; filename="{safe(dag_id)}-{safe(run_id)}.zip"'}
    return StreamingResponse(zipped(wanted), media_type="application/zip", headers=headers)


async def _recorded(request: Request, instance: Instance, folder: _Folder, *, several: bool) -> list[Wanted]:
    task = instance.task_id if instance.map_index < 0 else f"{instance.task_id}-{instance.map_index}"
    found: list[Wanted] = []
    for uri in (folder.prefix + name for name in folder.names):
        recorded = await records.of(instance, api(request), uri=uri)
        sha256 = recorded.images.get(uri)
        if sha256 is None:
            raise HTTPException(404, "This task instance recorded no such image.")
        found.append(Wanted(uri, sha256, recorded.aws_conn_id, task if several else ""))
    return found
