"""The hook: an Airflow connection in, models out; synchronous and asynchronous twins over the same flows."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException, BaseHook, conf

from airflow_provider_qwenimage.defaults import ACCOUNT_CONN_ID, CONN_ID, JOB_TIMEOUT, POLL_INTERVAL
from airflow_provider_qwenimage.exceptions import InvalidRequest, NoConnection, QwenImageError
from airflow_provider_qwenimage.hooks.verbs import Verbs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from airflow_provider_qwenimage.gateway.account.turn import Turn
    from airflow_provider_qwenimage.gateway.calls import Intent, Plan
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.requests import Operation, Request
    from airflow_provider_qwenimage.models.results import Generation, Job
    from airflow_provider_qwenimage.transport import AsyncHttpClient, HttpClient


class QwenImageHook(Verbs, BaseHook):
    """
    Talk to a Qwen-Image gateway.

    A context manager, for ``with`` and ``async with``; the client is opened at the first call. Every method that
    sends raises an error of ``exceptions``, which says what it may have cost; one that the same request meets again is
    an ``AirflowFailException`` too, so a task that calls the hook is not run again for it.

    :param qwenimage_conn_id: the Airflow connection, of type ``qwenimage``.
    """

    conn_name_attr = "qwenimage_conn_id"
    default_conn_name = CONN_ID
    conn_type = "qwenimage"
    hook_name = "Qwen Image Gateway"

    def __init__(self, qwenimage_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.qwenimage_conn_id = qwenimage_conn_id
        self._settings: Settings | None = None
        self._client: HttpClient | None = None
        self._async_client: AsyncHttpClient | None = None

    @property
    def settings(self) -> Settings:
        """The connection, checked and coerced; raises ``InvalidRequest`` naming the field at fault."""
        if self._settings is None:
            with FinalForAirflow(), _existing(self.qwenimage_conn_id):
                settings = _read(self.qwenimage_conn_id, self.get_connection(self.qwenimage_conn_id))
            if shared := _account_conn_id():
                with FinalForAirflow(), _existing(shared, field=ACCOUNT_CONN_ID):
                    settings = _meeting(settings, self.get_connection(shared))
            self._settings = settings
        return self._settings

    async def asettings(self) -> Settings:
        """See ``settings``; does not block the event loop."""
        from airflow.providers.common.compat.connection import get_async_connection

        if self._settings is None:
            with FinalForAirflow(), _existing(self.qwenimage_conn_id):
                conn = await get_async_connection(self.qwenimage_conn_id, hook=self)
                settings = _read(self.qwenimage_conn_id, conn)
            if shared := _account_conn_id():
                with FinalForAirflow(), _existing(shared, field=ACCOUNT_CONN_ID):
                    settings = _meeting(settings, await get_async_connection(shared, hook=self))
            self._settings = settings
        return self._settings

    def get_conn(self) -> HttpClient:
        """Return the open client."""
        if self._client is None:
            self._client = self.settings.endpoint.client()
        return self._client

    async def aget_conn(self) -> AsyncHttpClient:
        """Return the open asynchronous client."""
        if self._async_client is None:
            # Reading the CA bundle blocks, so it is read aside; calls that waited here together share one client.
            client = await asyncio.to_thread((await self.asettings()).endpoint.async_client)
            if self._async_client is None:
                self._async_client = client
            else:
                await client.aclose()
        return self._async_client

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether the key is accepted; sends no billed request and answers within 10 s."""
        from airflow_provider_qwenimage.gateway.account.money import check_budget
        from airflow_provider_qwenimage.gateway.probe import probe

        try:
            check_budget(self.settings)
            return probe(self.settings)
        except QwenImageError as error:
            return False, str(error)

    def request(self, operation: Operation, fields: Mapping[str, Any]) -> Request:
        """Build a request of an operation from what an author typed."""
        from airflow_provider_qwenimage.models.coercion import build
        from airflow_provider_qwenimage.models.requests import KINDS

        with FinalForAirflow():
            return build(KINDS[operation], **{name: fields[name] for name in fields if name != "self"})

    def plan(self, request: Request, *, inline: bool = False) -> Plan:
        """Check a request and spell it for the wire, see ``calls.plan``; log once what the vendor will change."""
        with FinalForAirflow():
            planned: Plan = _calls().plan(self.settings, request, inline=inline)
        for warning in planned.warnings:
            self.log.warning("%s", warning)
        return planned

    def send(
        self, planned: Plan, *, turn: Turn | None = None, record: Intent | None = None
    ) -> Generation | Job:
        """Send a planned request in its turn, once; see ``calls.send``."""
        with FinalForAirflow():
            client, settings = self.get_conn(), self.settings
            outcome: Generation | Job = _calls().send(client, settings, planned, turn=turn, record=record)
        return outcome

    def submit(self, request: Request) -> Generation | Job:
        """Check and send a request; a gateway with jobs answers with a ``Job``, any other with the images."""
        return self.send(self.plan(request))

    def wait(
        self, job: Generation | Job, *, interval: float = POLL_INTERVAL, timeout: float = JOB_TIMEOUT
    ) -> Generation:
        """
        Wait for a job; what has come already is returned as it is.

        :param interval: seconds between polls.
        :param timeout: seconds since the submission.
        """
        if not _is_job(job):
            return job  # type: ignore[return-value]
        client = self.get_conn()
        with FinalForAirflow():
            generation: Generation = _waiting().wait(
                client, self.settings, job, interval=interval, timeout=timeout
            )
        return generation

    def cancel(self, job: Job) -> bool:
        """Cancel a job that has not started; ``False`` when it was too late."""
        # A client of its own: Airflow calls on_kill in a signal handler, which may have interrupted the other one.
        with self.settings.endpoint.client() as client:
            return bool(_waiting().cancel(client, job))

    async def asubmit(self, request: Request) -> Generation | Job:
        """See ``submit``."""
        settings = await self.asettings()
        client, planned = await self.aget_conn(), self.plan(request)
        with FinalForAirflow():
            outcome: Generation | Job = await _calls().asend(client, settings, planned)
        return outcome

    async def await_job(
        self,
        job: Generation | Job,
        *,
        interval: float = POLL_INTERVAL,
        timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - counts from the submission, not from this call
    ) -> Generation:
        """See ``wait``."""
        if not _is_job(job):
            return job  # type: ignore[return-value]
        client, settings = await self.aget_conn(), await self.asettings()
        waiting = _waiting().await_job(client, settings, job, interval=interval, deadline=timeout)
        with FinalForAirflow():
            generation: Generation = await waiting
        return generation

    async def acancel(self, job: Job) -> bool:
        """See ``cancel``."""
        client, settings = await self.aget_conn(), await self.asettings()
        return bool(await _waiting().acancel(client, settings, job))

    def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        """Close the asynchronous client."""
        if self._async_client is not None:
            await self._async_client.aclose()
            self._async_client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class FinalForAirflow:
    """
    Raises what is final as an error of its own type that is an ``AirflowFailException`` as well.

    The one place where an error after which nothing can get on becomes one that Airflow does not retry.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, QwenImageError) and error.final and not isinstance(error, AirflowFailException):
            kind: Any = type(error)
            error.__class__ = _never_retried(kind)


@cache
def _never_retried(kind: type[QwenImageError]) -> type[QwenImageError]:
    names = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "_kind": classmethod(lambda _: kind),  # what is pickled is found under its name
    }
    return type(kind.__name__, (kind, AirflowFailException), names)


def _calls() -> ModuleType:
    """Return the machinery behind the methods; a Dag that only mentions an operator does not pay for it."""
    from airflow_provider_qwenimage.gateway import calls

    return calls


def _waiting() -> ModuleType:
    """Return what waits for jobs."""
    from airflow_provider_qwenimage.gateway import waiting

    return waiting


@contextmanager
def _existing(conn_id: str, *, field: str = "qwenimage_conn_id") -> Iterator[None]:
    """Name the connection in what is said of it; one that is not there is not there on the next try either."""
    try:
        yield
    except AirflowNotFoundException:
        raise NoConnection(conn_id, field=field) from None
    except InvalidRequest as error:
        advice = f"{error.advice} Correct the connection {conn_id!r}.".strip()
        raise InvalidRequest(error.field, error.rule, advice=advice) from None


def _account_conn_id() -> str:
    """Return which connection of type ``redis`` leads to where all processes of an account meet; empty for none."""
    return str(conf.get("qwenimage", "account_conn_id", fallback="") or "").strip()


def _meeting(settings: Settings, conn: Any) -> Settings:
    """Let the processes of the account meet where a connection leads."""
    from airflow_provider_qwenimage.gateway.account.place import RedisPlace

    return settings.model_copy(update={"store": RedisPlace.of(conn)})


def _read(conn_id: str, conn: Any) -> Settings:
    from airflow_provider_qwenimage.gateway.connection import read

    if conn.conn_type and conn.conn_type != QwenImageHook.conn_type:
        rule = f"the connection {conn_id!r} is of type {conn.conn_type!r}, not {QwenImageHook.conn_type!r}"
        raise InvalidRequest("qwenimage_conn_id", rule)
    settings = read(
        host=conn.host, port=conn.port, schema=conn.schema, password=conn.password, extra=conn.extra
    )
    return settings.model_copy(update={"conn_id": conn_id})


def _is_job(outcome: Generation | Job) -> bool:
    from airflow_provider_qwenimage.models.results import Job

    return isinstance(outcome, Job)
