"""The account in Redis: turns, seats, silence and money of all processes that name the same server."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_provider_qwenimage.exceptions import GatewayUnreachable
from airflow_provider_qwenimage.gateway.account.learning import Evidence, Learned
from airflow_provider_qwenimage.gateway.account.local import Answer, LocalStore
from airflow_provider_qwenimage.gateway.account.witness import Untold, Witness
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.commands.core import Script

    from airflow_provider_qwenimage.gateway.account.place import RedisPlace

log = logging.getLogger(__name__)

_AWAY = 5.0  # seconds until a server that is away is asked again
_RENEWED = 15.0  # seconds between the signs that who holds a seat lives
_MONEY = ("reserve", "settle", "bill", "settle_job")
_CLAIMS = ("tell", "untell", "claim", "known")


class SharedStore:
    """
    Asks the server; while it is away, each process goes on with its own share, and spends nothing of a budget.

    Safe to use from any thread; an event loop is not held up.

    :param name: the account's digest.
    """

    def __init__(self, name: str, place: RedisPlace) -> None:
        self._key = f"qwenimage:{{{name}}}:"
        self._place = place
        self._process = uuid4().hex
        self._alone, self._peers = LocalStore(), 1
        self._away_until = 0.0
        self._memory: str | None = (
            None  # its name, as the server last told it: a server that forgot has another one
        )
        self._lost_on: str | None = None  # the day it forgot what was spent
        self._forgot = False
        self._witness, self._untold = Witness(name), Untold(name)
        self._held: dict[str, tuple[str, float]] = {}
        self._awake = threading.Event()
        self._script: Script | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(4, "qwenimage-account")

    def perform(self, name: str, **asked: Any) -> Any:
        """
        Do one operation, undivided.

        :raises GatewayUnreachable: money cannot be reserved, or a request not be told anywhere.
        """
        from redis.exceptions import RedisError

        if time.monotonic() < self._away_until:
            return self._without(name, asked, "it gave no answer a moment ago")
        try:
            answer = self._called(name, asked)
        except (RedisError, OSError) as error:
            self._away(error)
            return self._without(name, asked, redact(error))
        if self._away_until:
            self._away_until = 0.0
            log.info("The account's Redis server %s is back", self._place.where)
        return answer

    async def aperform(self, name: str, **asked: Any) -> Any:
        """See ``perform``; what has begun is ended, whoever is cancelled meanwhile."""
        doing = asyncio.get_running_loop().run_in_executor(
            self._threads, partial(self.perform, name, **asked)
        )
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            raise

    def close(self) -> None:
        """Close its connections; what is held expires."""
        with self._lock:
            self._held.clear()
        self._threads.shutdown(wait=False)
        if self._script is not None:
            self._script.registered_client.close()

    def _called(self, name: str, asked: dict[str, Any]) -> Any:
        if name == "reserve" and self._is_lost(asked["day"]):
            return ("lost", 0)
        memory, told = self._sent(name, {**asked, "peer": self._process, "memory": self._memory})
        if self._memory not in (None, memory):
            log.warning("The account's Redis server %s has lost its memory", self._place.where)
            self._forgot, self._lost_on = True, None
            self._awake.set()  # who holds seats says so again
        self._memory = memory
        if name == "ask":
            self._peers = max(int(told[6]), 1)
        answer = _read(name, told)
        if name == "known":
            answer = (*answer, self._untold.until())
        self._follow(name, asked, answer)
        return answer

    def _sent(self, name: str, asked: dict[str, Any]) -> tuple[str, Any]:
        from redis.exceptions import ConnectionError as Broken
        from redis.exceptions import TimeoutError as Late

        if self._script is None:
            self._script = self._place.client().register_script(
                files(__package__).joinpath("account.lua").read_text(encoding="utf-8")
            )
        if name == "learn":
            *numbers, cause = astuple(asked["learned"])
            asked = {**asked, "learned": numbers, "cause": cause}
        told = [name, json.dumps(asked), uuid4().hex]
        try:
            memory, answer = self._script(keys=[self._key], args=told)
        except Broken as error:  # a pooled connection that a server closed: asked once more
            if isinstance(error, Late):
                raise
            memory, answer = self._script(keys=[self._key], args=told)
        return memory.decode(), answer

    def _is_lost(self, day: str) -> bool:
        """Whether nobody knows any more what was spent on a day."""
        if self._forgot and self._lost_on is None:
            self._lost_on = day
        lost = self._forgot and self._lost_on == day
        return lost or not self._witness.agrees(day, self._memory or "")

    def _away(self, error: Exception) -> None:
        if not self._away_until:
            log.warning(
                "The account's Redis server %s cannot be reached (%s): this process goes on with its own share, "
                "one of %d",
                self._place.where,
                redact(error),
                self._peers,
            )
        self._away_until = time.monotonic() + _AWAY

    def _without(self, name: str, asked: dict[str, Any], why: str) -> Any:
        """Do an operation without the server: alone, and never with money."""
        if name == "reserve":
            raise GatewayUnreachable(
                f"The account's Redis server {self._place.where}, which counts what is spent, cannot be reached: {why}",
                advice="Nothing was sent; a retry is free.",
            )
        if name in _MONEY:
            log.warning("What was reserved stays counted as spent: the account's Redis server is away")
            return None
        if name in _CLAIMS:
            if name == "tell":
                self._untold.note()
            return None
        if name in ("ask", "missed"):
            asked["gaps"] = tuple(gap * self._peers for gap in asked["gaps"])
        if name == "ask":
            asked["caps"] = tuple(cap and max(1, cap // self._peers) for cap in asked["caps"])
            asked["ticket"] = 0.0  # of another clock
        elif name == "poll":
            asked["gap"] *= self._peers
        answer = self._alone.perform(name, **asked)
        return answer._replace(ticket=0.0) if name == "ask" else answer

    def _follow(self, name: str, asked: dict[str, Any], answer: Any) -> None:
        """Keep in mind which seats this process holds: they are renewed while it lives."""
        if name == "ask" and answer.granted and not asked.get("look"):
            with self._lock:
                if not self._held and not hasattr(self, "_keeper"):
                    self._keeper = threading.Thread(target=self._keep, name="qwenimage-seats", daemon=True)
                    self._keeper.start()
                self._held[asked["holder"]] = (asked["line"], asked["life"])
        elif name in ("end", "job", "leave"):
            with self._lock:
                self._held.pop(asked["holder"], None)
            if name != "leave":
                self._alone.perform(name, **asked)  # it may have been taken while the server was away

    def _keep(self) -> None:
        """Renew the seats that are held, for as long as the process lives."""
        while True:
            self._awake.wait(_RENEWED)
            self._awake.clear()
            with self._lock:
                held = dict(self._held)
            if held:
                self.perform("renew", leases=held)


def _read(name: str, told: Any) -> Any:
    """Read what the script answers."""
    if name == "ask":
        granted, wait, ticket, estimate, level, now = told[:6]
        return Answer(bool(granted), float(wait), float(ticket), float(estimate), level, float(now))
    if name == "evidence":
        now, at, sent, running, peak, learned, cause = told
        gap, seats, quiet, judged, held, step, eases, slow = map(float, learned)
        known = Learned(gap, int(seats), quiet, judged, held, step, int(eases), int(slow), cause.decode())
        times = [when for when in map(float, sent) if when <= float(at)]
        return Evidence(float(now), float(at), times, running, int(peak), known)
    if name == "reserve":
        return told and (told[0].decode(), int(told[1]))
    if name == "known":
        age, *tables = told
        requests, owners = ({key.decode(): value.decode() for key, value in _pairs(each)} for each in tables)
        return float(age), requests, owners
    return float(told) if name in ("poll", "missed") else bool(told)


def _pairs(table: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields of a hash, as a script returns one."""
    return zip(table[::2], table[1::2], strict=True)
