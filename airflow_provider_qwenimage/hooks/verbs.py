"""What a hook is asked for in one line: each verb builds a request, submits it and waits; sync and async twins."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.gateway.find import Candidate
    from airflow_provider_qwenimage.models.requests import Operation, Request
    from airflow_provider_qwenimage.models.results import Generation, Job
    from airflow_provider_qwenimage.transport import AsyncHttpClient, HttpClient


class Verbs:
    """The verbs of ``QwenImageHook``, which submits and waits."""

    @abstractmethod
    def request(self, operation: Operation, fields: Mapping[str, Any]) -> Request:
        """
        Build a request, as ``submit`` takes it.

        :param operation: ``generate``, ``edit``, ``sequence`` or ``translate``.
        :param fields: the arguments of the method of that name.
        """

    @abstractmethod
    def submit(self, request: Request) -> Generation | Job:
        """
        Send a request.

        :param request: as ``request`` builds it.
        """

    @abstractmethod
    def wait(self, job: Generation | Job) -> Generation:
        """
        Wait for a job.

        :param job: what ``submit`` answered with.
        """

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """The connection."""

    @abstractmethod
    def get_conn(self) -> HttpClient:
        """Return the open client."""

    @abstractmethod
    async def asettings(self) -> Settings:
        """Return the connection."""

    @abstractmethod
    async def aget_conn(self) -> AsyncHttpClient:
        """Return the open asynchronous client."""

    @abstractmethod
    async def asubmit(self, request: Request) -> Generation | Job:
        """Send a request."""

    @abstractmethod
    async def await_job(self, job: Generation | Job) -> Generation:
        """Wait for a job."""

    def find(self, request: Request, *, since: datetime, until: datetime | None = None) -> list[Candidate]:
        """
        Return the jobs that a request may have been answered with whose answer was lost; pays nothing, claims nothing.

        Each is of the model and the time of the request and names no other prompt. That there is only one does not
        prove whose it is: whatever else uses the account may have made it.

        :param request: as it was sent.
        :param since: when the request was about to be sent.
        :param until: when it was known to be lost; now where omitted.
        :raises InvalidRequest: the gateway has no jobs for it.
        """
        from airflow_provider_qwenimage.gateway import find

        return find.search_for(self.get_conn(), self.settings, request, since=since, until=until)

    async def afind(
        self, request: Request, *, since: datetime, until: datetime | None = None
    ) -> list[Candidate]:
        """See ``find``."""
        from airflow_provider_qwenimage.gateway import find

        settings = await self.asettings()
        return await find.asearch_for(await self.aget_conn(), settings, request, since=since, until=until)

    def generate(
        self,
        prompt: str,
        *,
        model: str | None = None,
        size: Any = None,
        n: int = 1,
        negative_prompt: str | None = None,
        seed: int | None = None,
        parameters: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generation:
        """
        Generate images from a prompt.

        :param prompt: what the images show.
        :param model: the model's name; the connection's default where omitted.
        :param size: ``"1328*1328"``, ``[1328, 1328]``, ``"16:9"`` or ``"2K"``; the model's own where omitted.
        :param n: how many images; always sent.
        :param negative_prompt: what the images must not show.
        :param seed: 0..2147483647.
        :param parameters: vendor parameters, passed through untouched.
        :param labels: the author's own names for the images; never sent.
        """
        return self.wait(self.submit(self.request("generate", locals())))

    def edit(
        self,
        prompt: str,
        images: Sequence[str] | str,
        *,
        boxes: Sequence[Sequence[Sequence[int]]] | None = None,
        model: str | None = None,
        size: Any = None,
        n: int = 1,
        negative_prompt: str | None = None,
        seed: int | None = None,
        parameters: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generation:
        """
        Edit images; what is not told here is as in ``generate``.

        :param images: one or a list of http(s) or ``data:`` URLs.
        :param boxes: where to edit: per image a list of ``[x1, y1, x2, y2]`` in its pixels, ``[]`` for none.
        """
        return self.wait(self.submit(self.request("edit", locals())))

    def sequence(
        self,
        prompt: str,
        *,
        n: int = 4,
        images: Sequence[str] | str | None = None,
        model: str | None = None,
        size: Any = None,
        negative_prompt: str | None = None,
        seed: int | None = None,
        parameters: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generation:
        """
        Generate an ordered series with a consistent subject; what is not told here is as in ``generate``.

        :param n: how many images the series may have.
        :param images: the series starts from them, as ``edit`` takes them.
        """
        return self.wait(self.submit(self.request("sequence", locals())))

    def translate(
        self,
        images: Sequence[str] | str,
        target_lang: str,
        *,
        source_lang: str = "auto",
        terminologies: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
        prompt: str = "",
        model: str | None = None,
        parameters: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generation:
        """
        Translate the text of an image; what is not told here is as in ``generate``.

        :param images: one http(s) URL.
        :param target_lang: a language's code or name (``en``, ``Japanese``).
        :param source_lang: the same, or ``auto``.
        :param terminologies: the glossary: ``{"source": "target"}``, or ``[{"src": …, "tgt": …}]``.
        """
        return self.wait(self.submit(self.request("translate", locals())))

    async def agenerate(
        self,
        prompt: str,
        *,
        model: str | None = None,
        size: Any = None,
        n: int = 1,
        negative_prompt: str | None = None,
        seed: int | None = None,
        parameters: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generation:
        """See ``generate``."""
        return await self.await_job(await self.asubmit(self.request("generate", locals())))

    async def aedit(
        self,
        prompt: str,
        images: Sequence[str] | str,
        *,
        boxes: Sequence[Sequence[Sequence[int]]] | None = None,
        model: str | None = None,
        size: Any = None,
        n: int = 1,
        negative_prompt: str | None = None,
        seed: int | None = None,
        parameters: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generation:
        """See ``edit``."""
        return await self.await_job(await self.asubmit(self.request("edit", locals())))

    async def asequence(
        self,
        prompt: str,
        *,
        n: int = 4,
        images: Sequence[str] | str | None = None,
        model: str | None = None,
        size: Any = None,
        negative_prompt: str | None = None,
        seed: int | None = None,
        parameters: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generation:
        """See ``sequence``."""
        return await self.await_job(await self.asubmit(self.request("sequence", locals())))

    async def atranslate(
        self,
        images: Sequence[str] | str,
        target_lang: str,
        *,
        source_lang: str = "auto",
        terminologies: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
        prompt: str = "",
        model: str | None = None,
        parameters: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generation:
        """See ``translate``."""
        return await self.await_job(await self.asubmit(self.request("translate", locals())))
