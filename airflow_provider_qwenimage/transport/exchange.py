"""Drives flows: sends their calls, reads the replies whole, says what a broken exchange may have cost."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

import httpx

from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    InvalidRequest,
    OutcomeUnknown,
    QwenImageError,
    UnexpectedReply,
)
from airflow_provider_qwenimage.redaction import redact, without_key
from airflow_provider_qwenimage.transport.clients import (
    CONNECT_TIMEOUT,
    ENCODINGS,
    HEEDED,
    Deadline,
    Expanding,
    NotTaken,
    longest,
)
from airflow_provider_qwenimage.wire.documents import body_of
from airflow_provider_qwenimage.wire.links import join
from airflow_provider_qwenimage.wire.protocol import Call, Flow, Pause, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator

Step = TypeVar("Step")
Value = TypeVar("Value")

MAX_REPLY_BYTES = 512 * 1024 * 1024  # a dozen inline 4K images as base64 stay below; a runaway body does not
# After one of these the request never left: no connection, or none that speaks TLS.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,  # a header no request may have
)
_LARGE, _PIECE = 1 << 20, 1 << 18  # bytes
_REAL_KEY = 16  # characters; engines are given words such as "none" or "x", which occur in any reply


class Turns(Protocol):
    """A limit that calls of several flows share: ``aturn`` and ``aheard`` are the same on an event loop."""

    def turn(self) -> None:
        """Wait until a call may be sent."""

    def heard(self, reply: Reply) -> None:
        """Learn what the call was answered."""

    async def aturn(self) -> None: ...  # noqa: D102
    async def aheard(self, reply: Reply) -> None: ...  # noqa: D102


def run(
    client: httpx.Client,
    flow: Flow[Value],
    *,
    sleep: Callable[[float], object] = time.sleep,
    turns: Turns | None = None,
) -> Value:
    """
    Drive ``flow`` to its end: send its calls, sleep its pauses, throw network failures into it.

    :param turns: every call waits for its turn; the wait is no part of the call, whose timeouts begin after it.
    """
    running = RunningFlow(flow)
    while (step := running.step) is not None:
        if isinstance(step, Pause):
            sleep(step.seconds)
            running.answer(None)
            continue
        if turns is not None:
            turns.turn()
        try:
            reply = _exchange(client, step)
        except QwenImageError as failure:
            running.fail(failure)
            continue
        if turns is not None:
            turns.heard(reply)
        running.answer(reply)
    return running.value


async def arun(
    client: httpx.AsyncClient,
    flow: Flow[Value],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    turns: Turns | None = None,
) -> Value:
    """Drive ``flow`` as ``run`` does, without blocking the event loop."""
    running = RunningFlow(flow)
    while (step := running.step) is not None:
        if isinstance(step, Pause):
            await sleep(step.seconds)
            running.answer(None)
            continue
        if turns is not None:
            await turns.aturn()
        try:
            reply = await _aexchange(client, step)
        except QwenImageError as failure:
            running.fail(failure)
            continue
        if turns is not None:
            await turns.aheard(reply)
        running.answer(reply)
    return running.value


class RunningFlow(Generic[Step, Value]):
    """Where a flow stands: the step it waits on, or ``None`` and its value."""

    def __init__(self, flow: Generator[Step, Any, Value]) -> None:
        self._flow = flow
        self.step: Step | None = None
        self.value: Value
        self.answer(None)

    def answer(self, reply: Any) -> None:
        """Go on with what came of the step."""
        self._advance(self._flow.send, reply)

    def fail(self, failure: BaseException) -> None:
        """Go on with what broke the step off."""
        self._advance(self._flow.throw, failure)

    def _advance(self, resume: Callable[[Any], Step], what: Any) -> None:
        try:
            self.step = resume(what)
        except StopIteration as stop:
            self.step, self.value = None, stop.value


def _exchange(client: httpx.Client, call: Call) -> Reply:
    body, request = _Body(call), _request(client, call, _pieces)
    seconds = longest(request)
    with Deadline(seconds) as deadline:
        request.extensions |= HEEDED
        try:
            with closing(client.send(request, stream=True)) as response:
                body.begin(response)
                for chunk in response.iter_raw():
                    body.add(chunk)
        except httpx.HTTPError as error:
            body.break_off(_late(seconds) if deadline.passed else error, client)
    return body.reply(client)


async def _aexchange(client: httpx.AsyncClient, call: Call) -> Reply:
    body, request = _Body(call), _request(client, call, _apieces)
    seconds = longest(request)
    try:
        async with asyncio.timeout(seconds), aclosing(await client.send(request, stream=True)) as response:
            body.begin(response)
            async for chunk in response.aiter_raw():
                body.add(chunk)
    except TimeoutError:
        body.break_off(_late(seconds), client)
    except httpx.HTTPError as error:
        body.break_off(error, client)
    return body.reply(client)


def _late(seconds: float) -> httpx.ReadTimeout:
    return httpx.ReadTimeout(f"no whole answer within {seconds:g} s")


def _request(
    client: httpx.Client | httpx.AsyncClient, call: Call, pieces: Callable[[bytes], Any]
) -> httpx.Request:
    """
    Spell a call, with the client's headers: it would merge what no gateway is sent, too, for a tenth of the CPU.

    :param pieces: of a large body: what a socket does not take at once is copied, and each has its timeout.
    """
    named = {"Accept-Encoding": ENCODINGS, **call.headers}
    content: dict[str, Any] = {}
    if call.json is not None or call.body is not None:
        spelled = body_of(call.json) if call.json is not None else call.body or b""
        named.setdefault("Content-Type", "application/json")
        named["Content-Length"] = str(len(spelled))
        content["content"] = pieces(spelled) if len(spelled) > _LARGE else spelled
    if call.parts:
        content["files"] = [
            (part.name, (part.filename, part.content, part.content_type)) for part in call.parts
        ]
        content["data"] = dict(call.form or {})
    ours = {name.lower().encode() for name in named}
    headers = [pair for pair in client.headers.raw if pair[0].lower() not in ours]
    headers += [(name.encode(), value.encode()) for name, value in named.items()]
    timeout = client.timeout
    if call.timeout is not None:
        timeout = httpx.Timeout(call.timeout, connect=min(CONNECT_TIMEOUT, call.timeout))
    url = _url(str(client.base_url), call.path)
    return httpx.Request(
        call.method, url, headers=headers, extensions={"timeout": timeout.as_dict()}, **content
    )


@lru_cache(maxsize=256)  # parsing a URL takes as long as reading an answer
def _url(base_url: str, path: str) -> httpx.URL:
    try:
        return httpx.URL(join(base_url, path))
    except httpx.InvalidURL as error:
        raise InvalidRequest("host", f"is not a URL that can be called: {redact(error)}") from None


def _pieces(content: bytes) -> Iterator[bytes]:
    for begin in range(0, len(content), _PIECE):
        yield content[begin : begin + _PIECE]


async def _apieces(content: bytes) -> AsyncIterator[bytes]:
    for piece in _pieces(content):
        yield piece


class _Body:
    """The reply as far as it has arrived."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._head: httpx.Response | None = None
        self._expanding: Expanding
        self._chunks: list[bytes] = []
        self._size = 0

    def begin(self, response: httpx.Response) -> None:
        self._head = response
        self._expanding = Expanding(response)

    def add(self, chunk: bytes) -> None:
        for piece in self._expanding.pieces(chunk):
            self._size += len(piece)
            if self._size > MAX_REPLY_BYTES:
                raise NotTaken(f"the reply is larger than {MAX_REPLY_BYTES // 2**20} MiB")
            self._chunks.append(piece)

    def break_off(self, error: Exception, client: httpx.Client | httpx.AsyncClient) -> None:
        """Say what a broken exchange means; a refusal whose body broke off is still a refusal."""
        if self._head is not None and self._head.status_code >= 400:
            return
        _explain(error, self._call, client)

    def reply(self, client: httpx.Client | httpx.AsyncClient) -> Reply:
        assert self._head is not None
        body = b"".join(self._chunks)
        # Headers are read raw: httpx guesses their encoding anew for every name it is asked for.
        key = next((value for name, value in client.headers.raw if name.lower() == b"authorization"), b"")
        key = key.removeprefix(b"Bearer ")
        raw = self._head.headers.raw
        if len(key) >= _REAL_KEY:  # some gateways quote the key they refuse, in a body or an id
            body = without_key(body, key)
            raw = [(name, without_key(value, key)) for name, value in raw]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}
        return Reply(status=self._head.status_code, headers=headers, body=body)


def _explain(error: Exception, call: Call, client: httpx.Client | httpx.AsyncClient) -> NoReturn:
    host = client.base_url.host
    what = redact(error) or type(error).__name__
    if isinstance(error, _UNSENT):
        raise GatewayUnreachable(
            f"No connection to {host}: {what}",
            advice="Check host, port, TLS and proxy of the connection; a retry is free.",
        ) from error
    if isinstance(error, NotTaken) and call.billable:
        raise UnexpectedReply(
            f"The answer of {host} cannot be taken: {what}",
            advice="Look at the gateway's usage log; ask for fewer or smaller images.",
        ) from error
    if not call.billable:
        raise GatewayUnreachable(f"{host} gave no answer: {what}", advice="A retry is free.") from error
    if isinstance(error, httpx.ReadTimeout) and not what.startswith("no whole answer"):
        what = "no answer within the read timeout"
    raise OutcomeUnknown(
        f"The request was sent to {host} and its answer was lost: {what} ({type(error).__name__})",
        advice="Look at the gateway's usage log before paying again.",
    ) from error
