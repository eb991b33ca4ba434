"""What a task instance recorded as its images: the only ones that are ever served."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool  # noqa: TID253

from airflow_provider_qwenimage.plugins import serving
from airflow_provider_qwenimage.plugins.listing import Digests, is_digest
from airflow_provider_qwenimage.plugins.unfinished import Unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.plugins.listing import Listing
    from airflow_provider_qwenimage.plugins.rest import RestApi

_FRESH = 15.0  # seconds one page's worth of requests shares what was read
_KEPT = 64
_KEPT_IMAGES = 200_000  # some 40 MiB
# A record of Airflow's database holds no more.
_LAST_MAP_INDEX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Instance:
    """A task instance; ``map_index`` is -1 for a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def is_one(self) -> bool:
        """Whether this names one instance: ``~`` means any to the REST API, and a slash would leave the path."""
        if self.map_index > _LAST_MAP_INDEX:
            return False
        return not any(part in ("", "~", ".", "..") or "/" in part for part in self._parts)

    @property
    def path(self) -> tuple[str, ...]:
        """Where the REST API keeps it."""
        return ("dags", self.dag_id, "dagRuns", self.run_id, "taskInstances", self.task_id)

    @property
    def _parts(self) -> tuple[str, ...]:
        return self.dag_id, self.run_id, self.task_id


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    What one task instance said it stored.

    :param images: digests of the bytes by URI.
    :param manifest: the manifest's URI.
    :param listing: what it lists, where nothing else says what there is.
    :param aws_conn_id: the connection it stored them with.
    :param unfinished: where a batch tells what it has stored, while nothing else says so.
    """

    images: Digests
    manifest: str | None
    aws_conn_id: str | None
    listing: Listing | None = None
    unfinished: Unfinished | None = None

    def lacks(self, uri: str | None, *, manifest: bool) -> bool:
        """Whether an image is wanted that is not recorded, or a manifest."""
        return (uri is not None and self.images.get(uri) is None) or (manifest and self.manifest is None)


class Records:
    """Reads records and keeps them for some seconds; who may read them is asked before, for every request."""

    def __init__(self) -> None:
        self._kept: dict[Instance, tuple[float, Recorded]] = {}

    async def of(
        self, instance: Instance, api: RestApi, *, uri: str | None = None, manifest: bool = False
    ) -> Recorded:
        """
        Return what ``instance`` recorded; empty where it recorded nothing.

        :param uri: what is looked for; a record without it is read anew, for the task may still be storing.
        :param manifest: its manifest is looked for, of which the same holds.
        """
        now = time.monotonic()
        until, recorded = self._kept.get(instance, (0.0, None))
        if recorded is None or until < now or recorded.lacks(uri, manifest=manifest):
            fields = await _rendered(instance, api)
            recorded = await _read(instance, api, fields or {}, known=recorded)
            # Who may read XComs only does not see them; what is told without them is nothing to tell others.
            if fields is not None:
                self._keep(instance, recorded)
        return recorded

    async def asks(self, instance: Instance, api: RestApi) -> bool:
        """Whether ``instance`` asks a person about images, or has asked."""
        where = (*instance.path, "xcomEntries")
        found = await api.get(*where, xcom_key="candidates", map_index=instance.map_index, limit=1)
        return bool(found and found["total_entries"])

    def _keep(self, instance: Instance, recorded: Recorded) -> None:
        self._kept.pop(instance, None)
        self._kept[instance] = (time.monotonic() + _FRESH, recorded)
        while len(self._kept) > _KEPT or (len(self._kept) > 1 and self._images() > _KEPT_IMAGES):
            del self._kept[next(iter(self._kept))]

    def _images(self) -> int:
        return sum(len(recorded.images) for _, recorded in self._kept.values())


async def _read(
    instance: Instance, api: RestApi, fields: dict[str, Any], *, known: Recorded | None
) -> Recorded:
    stored = await _xcom(instance, "stored", api)
    manifest = await _xcom(instance, "manifest", api)
    named = manifest.get("uri") if isinstance(manifest, dict) else None
    uri = str(named) if _is_text(named) else None
    aws_conn_id = _aws_conn_id(fields)
    if not isinstance(stored, list) and uri is None:
        stored = await _xcom(instance, "candidates", api)  # what an approval asks about
    if not isinstance(stored, list) and uri is None:
        return await run_in_threadpool(_unfinished, instance, fields.get("persist_to"), aws_conn_id, known)
    if isinstance(stored, list):
        return Recorded(images=Digests(_digests(stored)), manifest=uri, aws_conn_id=aws_conn_id)
    # Large sets push their manifest only; it names its task, so it is as good as the task's own word.
    listing = await run_in_threadpool(
        _listed, str(uri), instance, aws_conn_id, known.listing if known else None
    )
    images = listing.digests if listing else Digests()
    return Recorded(images=images, manifest=uri, aws_conn_id=aws_conn_id, listing=listing)


def _unfinished(instance: Instance, prefix: Any, aws_conn_id: str | None, known: Recorded | None) -> Recorded:
    """Return what the journal of a batch tells; nothing where it has none, or none that can be read."""
    found = known.unfinished if known else None
    if found is None or (found.prefix, found.aws_conn_id) != (prefix, aws_conn_id):
        found = Unfinished(prefix, aws_conn_id) if _is_text(prefix) else None
    if found is not None:
        try:
            found.read(instance)
        except serving.NotServed:
            found = None
    images = found.digests if found else Digests()
    return Recorded(images=images, manifest=None, aws_conn_id=aws_conn_id, unfinished=found)


def _digests(stored: list[Any]) -> Iterator[tuple[str, str]]:
    for image in stored:
        if isinstance(image, dict) and _is_text(image.get("uri")) and is_digest(image.get("sha256")):
            yield image["uri"], image["sha256"]


def _listed(uri: str, instance: Instance, aws_conn_id: str | None, known: Listing | None) -> Listing | None:
    try:
        return serving.listing(uri, owner=instance, aws_conn_id=aws_conn_id, known=known)
    except serving.NotServed:
        return None


async def _xcom(instance: Instance, key: str, api: RestApi) -> Any:
    entry = await api.get(*instance.path, "xcomEntries", key, map_index=instance.map_index)
    value = entry["value"] if entry else None
    try:
        # The native form is what the database holds, which is JSON text for some versions of Airflow.
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None


async def _rendered(instance: Instance, api: RestApi) -> dict[str, Any] | None:
    """
    Return the task's arguments as they were rendered, ``None`` where the user may not read task instances.

    Airflow keeps them for the latest runs only.
    """
    mapped = (str(instance.map_index),) if instance.map_index >= 0 else ()
    details = await api.get(*instance.path, *mapped)
    if details is None:
        return None
    fields = details.get("rendered_fields")
    return fields if isinstance(fields, dict) else {}


def _aws_conn_id(fields: dict[str, Any]) -> str | None:
    """Return the connection the task named."""
    if "aws_conn_id" not in fields:
        return _configured()
    named = fields["aws_conn_id"]
    return named if named not in ("", "None") else None


def _configured() -> str:
    from airflow.providers.common.compat.sdk import conf

    return str(conf.get("qwenimage", "gallery_aws_conn_id", fallback="aws_default"))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
