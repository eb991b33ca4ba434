"""
What an error means for money, in one table.

::

    state on record × error ─► state afterwards · cost · whether another try gets on · advice

The record of a task (``ledger``), the journal of a batch and the retry policy all read it, so a request is paid again,
waited for or given up by one rule, whoever asks. A request goes through these states:

* ``unsent``     nothing was sent
* ``intent``     about to be sent, or sent; what died here may have been billed
* ``submitted``  the gateway works on a job
* ``delivered``  the images are known and paid
* ``done``       they lie in the bucket
* ``refused``    not billed: as good as never sent
* ``unknown``    may have been billed, and nothing can be had for it
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from airflow_provider_qwenimage.exceptions import (
    BlockedHost,
    GatewayUnreachable,
    ImageExpired,
    ImageTooLarge,
    ImageUnmarked,
    InvalidRequest,
    JobFailed,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    TemporaryRefusal,
    TransferError,
)

OnUnknown = Literal["fail", "resubmit", "find"]
State = Literal["unsent", "intent", "submitted", "delivered", "done", "refused", "unknown"]
# nothing   not billed
# paid      billed, and the images can still be had
# unknown   may have been billed, or was, and they did not arrive
Cost = Literal["nothing", "paid", "unknown"]
# never     the same again
# free      a try pays only for what nobody paid for
# recorded  free where the record outlives this try: a job is asked for again, a paid image stored again
# told      only where the author allowed to pay again
# asked     the same, or where the gateway is asked for it first: for its job, as on_unknown_outcome='find' says
# keyed     the same is asked for under the same idempotency key, which is billed once
Retry = Literal["never", "free", "recorded", "told", "asked", "keyed"]
# What the next try does with what it finds on record.
Next = Literal["send", "wait", "store", "nothing", "ask"]

NEXT: dict[State, Next] = {
    "unsent": "send",
    "refused": "send",
    "intent": "ask",
    "unknown": "ask",
    "submitted": "wait",
    "delivered": "store",
    "done": "nothing",
}


class _Row(NamedTuple):
    """The first row that an error and its state meet decides; ``state`` is ``None`` where it stays as it is."""

    error: type[QwenImageError]
    billed: bool | None
    states: tuple[State, ...]
    state: State | None
    cost: Cost
    retry: Retry


_NOT_SENT: tuple[State, ...] = ("unsent", "refused")
_PAID: tuple[State, ...] = ("submitted", "delivered", "done")
_ANY: tuple[State, ...] = (*_NOT_SENT, "intent", *_PAID, "unknown")

TABLE = (
    # Nothing was sent since: whatever it is, it cost nothing, and what an earlier try left stays as it was.
    _Row(QwenImageError, None, _NOT_SENT, None, "nothing", "free"),
    _Row(QwenImageError, False, ("unknown",), None, "unknown", "asked"),
    # Copies: the image is paid, and a copy never buys it again.
    _Row(TransferError, False, _ANY, None, "nothing", "free"),
    _Row(ImageExpired, True, _PAID, "unknown", "unknown", "told"),
    _Row(ImageTooLarge, True, _PAID, None, "paid", "never"),
    _Row(BlockedHost, True, _PAID, None, "paid", "never"),
    _Row(ImageUnmarked, True, _PAID, None, "paid", "never"),
    _Row(TransferError, True, _PAID, None, "paid", "recorded"),
    _Row(
        ImageUnmarked, True, ("intent",), "done", "paid", "never"
    ),  # came inside the reply, and nobody wants it
    _Row(TransferError, True, _ANY, "unknown", "unknown", "told"),  # bytes that only this process held
    # The job: it goes on at the gateway, whatever became of the wait.
    _Row(JobFailed, False, _ANY, "refused", "nothing", "free"),
    _Row(OutcomeUnknown, True, ("submitted",), None, "unknown", "recorded"),
    _Row(PermanentRefusal, True, ("submitted",), None, "unknown", "recorded"),
    _Row(GatewayUnreachable, False, ("submitted",), None, "unknown", "recorded"),
    _Row(InvalidRequest, False, ("submitted",), None, "unknown", "recorded"),  # of the connection, by then
    _Row(TemporaryRefusal, False, ("submitted",), None, "unknown", "recorded"),
    # The request.
    _Row(QwenImageError, False, _ANY, "refused", "nothing", "free"),
    _Row(
        QwenImageError, True, ("delivered", "done"), None, "paid", "never"
    ),  # one image of n that did not come
    _Row(QwenImageError, True, ("intent", "unknown"), "unknown", "unknown", "asked"),
    _Row(QwenImageError, True, _ANY, "unknown", "unknown", "told"),
)


_RESENT = "The next try sends it again, as on_unknown_outcome='resubmit' says."
_ASK = "Clearing the task pays anew; with on_unknown_outcome='resubmit' a retry does."
_LOOKED_FOR = "The next try asks the gateway for its job, as on_unknown_outcome='find' says."
_ASKED_AGAIN = "The next try asks for the same under the same idempotency key, which is billed once."
_RESUMED = "A retry resumes it at no cost."
_FORGOTTEN = "Airflow keeps no record of it below 3.3: another try of the task would pay anew."


class Consequence(NamedTuple):
    """
    What follows from an error.

    :param state: of the request from now on.
    :param cost: what the request may have cost without bringing what was asked.
    :param retry: whether another try gets on, and at what price.
    """

    state: State
    cost: Cost
    retry: Retry

    def gets_on(self, *, on_unknown: OnUnknown, durable: bool = True) -> bool:
        """
        Whether another try of the task gets on.

        :param on_unknown: what the author allowed.
        :param durable: the next try will know what this one paid for.
        """
        told = on_unknown == "resubmit"
        ways = {"never": False, "free": True, "recorded": durable, "told": told, "keyed": True}
        return ways.get(self.retry, told or (on_unknown == "find" and durable))

    def advice(self, *, on_unknown: OnUnknown, durable: bool = True) -> str:
        """Say what the next try of the task does, and what a person can do; see ``gets_on``."""
        if self.retry == "keyed":
            return _ASKED_AGAIN
        if self.retry == "asked" and on_unknown == "find" and durable:
            return _LOOKED_FOR
        if self.retry in ("told", "asked"):
            return _RESENT if on_unknown == "resubmit" else _ASK
        if self.retry == "recorded" and self.cost == "unknown":
            return _RESUMED if durable else _FORGOTTEN
        return ""


def consequence(error: QwenImageError, *, state: State) -> Consequence:
    """
    Return what an error means for a request.

    :param state: of the request on record when the error came.
    """
    row = next(
        row
        for row in TABLE
        if isinstance(error, row.error) and row.billed in (None, error.may_be_billed) and state in row.states
    )
    # A refusal to be asked about a job is final, the job is not.
    ends = error.final and (row.retry == "free" or state != "submitted")
    retry: Retry = "keyed" if row.retry == "asked" and error.keyed else row.retry
    return Consequence(row.state or state, row.cost, "never" if ends else retry)


def implied_state(error: QwenImageError) -> State:
    """Return the state an error speaks of by itself, for those who have no record of it."""
    if isinstance(error, TransferError):
        return "delivered"
    return "submitted" if error.job_id else "intent"
