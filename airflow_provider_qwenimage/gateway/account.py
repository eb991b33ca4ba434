"""
What an account may do is shared by all that use its key: here meet the polls of one event loop.

A gateway counts the polls of an account, whoever sends them. So 500 triggers or the jobs of a batch take turns here:
each waits for its place in line, and all of them fall silent after a 429.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.wire.protocol import retry_after

if TYPE_CHECKING:
    from airflow_provider_qwenimage.transport import Endpoint
    from airflow_provider_qwenimage.wire.protocol import Reply

POLLS_PER_SECOND = 20.0  # GET /tasks/{id} per account and second (contract 4.1)
_EVENNESS = 0.85  # polls that leave evenly arrive less so: without a margin, a second would see one too many
_LATE = 0.01  # seconds a timer may be late without the line losing time by it
_HUSH = 5.0  # seconds of silence after a 429 that names none
_LONGEST_HUSH = 60.0


class PollBudget:
    """
    Spaces polls evenly, in the order they are asked for: a limit per second punishes bursts first.

    :param per_second: polls per second that may arrive, of all jobs of the account together.
    """

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / (per_second * _EVENNESS)
        self._next = 0.0
        self._hush_ends = 0.0
        self._hushes = 0
        self._queue = asyncio.Lock()  # hands itself on in the order of arrival

    async def turn(self) -> None:
        """Wait for the next free place."""
        async with self._queue:
            while (ahead := self._next - _now()) > 0:  # noqa: ASYNC110 - a 429 may move it meanwhile
                await asyncio.sleep(ahead)
            # Who leaves a little late, as timers do, does not make everybody after it later.
            self._next = max(self._next, _now() - _LATE) + self._gap

    def heard(self, reply: Reply) -> None:
        """Hold every poll of the account back after a 429, twice as long after each further one."""
        if reply.status != 429:
            self._hushes = 0
            return
        now = _now()
        if now >= self._hush_ends:  # not one of those that were under way when the silence began
            self._hushes += 1
        asked = retry_after(reply.headers.get("retry-after", ""), now=time.time())
        hush = _HUSH * 2.0 ** (self._hushes - 1) if asked is None else asked
        self._hush_ends = max(self._hush_ends, now + min(hush, _LONGEST_HUSH))
        self._next = max(self._next, self._hush_ends)


# By event loop and account; the key itself is not kept beyond the connection it belongs to.
_BUDGETS: dict[asyncio.AbstractEventLoop, dict[tuple[str, str], PollBudget]] = {}


def poll_budget(endpoint: Endpoint) -> PollBudget:
    """Return the budget in which every poll of this account waits its turn, on the running event loop."""
    loop = asyncio.get_running_loop()
    for ended in [each for each in list(_BUDGETS) if each.is_closed()]:
        _BUDGETS.pop(ended, None)
    account = (endpoint.base_url, hashlib.sha256((endpoint.key or "").encode()).hexdigest())
    budgets = _BUDGETS.setdefault(loop, {})
    if account not in budgets:
        budgets[account] = PollBudget(_per_second())
    return budgets[account]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _per_second() -> float:
    return float(conf.getfloat("qwenimage", "polls_per_second", fallback=POLLS_PER_SECOND))
