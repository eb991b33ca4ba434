"""
What can go wrong, and what each of it may have cost.

::

    QwenImageError                 .billing .status .code .request_id .job_id
    ├── InvalidRequest             refused before any request; names the field    (never retried)
    │   ├── NoConnection           the Airflow connection does not exist          (never retried)
    │   └── BudgetExceeded         it may cost more than is left                  (never retried)
    ├── GatewayUnreachable         nothing was sent: connect, DNS, TLS, pool      retry is free
    ├── OutcomeUnknown             sent, no answer we can trust: may be billed    on_unknown_outcome decides
    ├── GatewayRefusal             the gateway said no; .status .code .retry_after
    │   ├── TemporaryRefusal       throttled, overloaded                          retry is safe
    │   └── PermanentRefusal       bad input, no access, no money                 (never retried)
    │       └── ContentRefused     moderation                                     (never retried)
    ├── UnexpectedReply            2xx unreadable or without an image             on_unknown_outcome decides
    ├── JobFailed                  the job ended badly; .job
    └── TransferError              a copy failed; the image is paid and is not bought again
        ├── ImageExpired           the link is dead
        ├── NotAnImage             the bytes are no image, or not all of it
        ├── ImageTooLarge          above the byte cap
        ├── BlockedHost            a private, loopback, link-local or metadata address
        ├── ImageUnmarked          without the mark of origin that provenance asks for
        └── TransferIncomplete     some images of a set failed; .failures

"Never retried" is the fact ``final``: what comes after it is the same again. Where that depends on what is on record,
``payment/consequences.py`` decides it. The hook and the operators raise what is final as an ``AirflowFailException`` of
Airflow's too, so the task fails at once, whatever ``retries`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Billing = Literal["no", "maybe", "yes"]

_BILLING_SENTENCE: dict[Billing, str] = {
    "no": "Nothing was billed.",
    "maybe": "Images may have been billed.",
    "yes": "Images were billed.",
}


class QwenImageError(Exception):
    """
    Say what happened, whether it may have been billed, and what to do.

    :param what: one sentence on what happened; free of secrets, signed queries and base64.
    :param advice: one sentence on what to do next.
    :param billing: ``no``, ``maybe`` or ``yes``; the class default where omitted.
    :param status: the HTTP status, where an answer came.
    :param code: the gateway's own error code, where it gave one.
    :param request_id: the id to ask the gateway about.
    :param job_id: the job to ask the gateway about.
    :ivar final: whether a further try can only meet the same again; the class default until it is decided.
    :ivar keyed: the request carried an idempotency key: the same may be asked for again, and is billed once.
    :ivar scope: ``account`` where other requests meet it too, whatever they ask for: it is of key, money or model.
    """

    default_billing: ClassVar[Billing] = "no"
    final: bool = False
    keyed: bool = False
    scope: Literal["account", "request"] = "request"

    def __init__(
        self,
        what: str,
        *,
        advice: str = "",
        billing: Billing | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.billing: Billing = billing or self.default_billing
        self.status = status
        self.code = code
        self.request_id = request_id
        self.job_id = job_id

    @property
    def may_be_billed(self) -> bool:
        """Whether images may have been billed for what led here."""
        return self.billing != "no"

    def __str__(self) -> str:
        what = self.what.rstrip(". ")
        ids = [
            f"{name} {value}"
            for name, value in (("request id", self.request_id), ("job id", self.job_id))
            if value
        ]
        where = f" ({', '.join(ids)})" if ids else ""
        return " ".join(
            part for part in (f"{what}{where}.", _BILLING_SENTENCE[self.billing], self.advice) if part
        )

    def facts(self) -> dict[str, Any]:
        """Return the error as plain JSON, for the event of a trigger; ``restore`` makes it an error again."""
        plain = {
            name: value for name, value in vars(self).items() if isinstance(value, (str, int, float, list))
        }
        return {**plain, "kind": type(self).__name__, "final": self.final}

    def __reduce__(self) -> Any:
        return _revive, (self._kind(), self.facts())

    @classmethod
    def _kind(cls) -> type[QwenImageError]:
        """Return the class to be found under its name; a form of it that Airflow knows is made where it is needed."""
        return cls


def restore(facts: dict[str, Any]) -> QwenImageError:
    """Return the error that ``facts`` were taken of, of its own type, and as final as it was."""
    name = str(facts.get("kind"))
    kind = next((kind for kind in _kinds(QwenImageError) if kind.__name__ == name), QwenImageError)
    return _revive(kind, facts)


def _revive(kind: type[QwenImageError], facts: dict[str, Any]) -> QwenImageError:
    error = kind.__new__(kind)
    Exception.__init__(error, facts.get("what", ""))
    absent: dict[str, Any] = {"advice": "", "billing": "maybe", "request_id": None, "job_id": None}
    absent |= {
        "status": None,
        "code": None,
        "retry_after": None,
        "resend": False,
        "throttled": False,
        "job": None,
        "failures": [],
    }
    vars(error).update(absent | {name: facts[name] for name in facts if name != "kind"})
    return error


def _kinds(kind: type[QwenImageError]) -> Iterator[type[QwenImageError]]:
    yield kind
    for further in kind.__subclasses__():
        yield from _kinds(further)


class InvalidRequest(QwenImageError):
    """
    A field breaks a rule; no request was sent.

    :param field: the argument or connection field at fault.
    :param rule: what the field must be, and what it was.
    """

    final = True

    def __init__(self, field: str, rule: str, *, advice: str = "") -> None:
        super().__init__(f"{field}: {rule}", advice=advice)
        self.field = field
        self.rule = rule


class NoConnection(InvalidRequest):
    """
    An Airflow connection that the task names does not exist.

    :param conn_id: its id.
    :param field: the argument that names it.
    """

    def __init__(self, conn_id: str, *, field: str = "qwenimage_conn_id") -> None:
        advice = "Create it in Airflow, or name another one; then clear the task."
        super().__init__(field, f"there is no connection {conn_id!r}", advice=advice)


class BudgetExceeded(InvalidRequest):
    """The request may cost more than ``budget`` or ``max_cost`` has left; no request was sent."""


class GatewayUnreachable(QwenImageError):
    """No connection was made, so nothing was sent; a retry is free."""


class OutcomeUnknown(QwenImageError):
    """The request was sent and no answer came that can be trusted."""

    default_billing = "maybe"


class UnexpectedReply(QwenImageError):
    """A 2xx answer that cannot be read, or that holds no image."""

    default_billing = "maybe"


class GatewayRefusal(QwenImageError):
    """
    The gateway said no.

    Its status may be 200: gateways refuse under 200 too.

    :param retry_after: seconds the gateway asks to wait.
    """

    def __init__(
        self,
        what: str,
        *,
        status: int,
        retry_after: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(what, status=status, **facts)
        self.retry_after = retry_after


class TemporaryRefusal(GatewayRefusal):
    """
    Throttled, overloaded or a fault of the service that is not billed; a retry is safe.

    ``resend`` tells whether the same call may try again by itself: only where the gateway turned the
    request away at the door (throttled, overloaded), not where it worked on it and failed. ``throttled`` tells that
    the account asks faster than it may: its requests have to wait for their turns.
    """

    def __init__(self, what: str, *, resend: bool = True, throttled: bool = False, **facts: Any) -> None:
        super().__init__(what, **facts)
        self.resend = resend
        self.throttled = throttled


class PermanentRefusal(GatewayRefusal):
    """Bad input, no access or no money: the same request is refused again."""

    final = True


class ContentRefused(PermanentRefusal):
    """Moderation blocked the prompt, an input image or the result."""


class JobFailed(QwenImageError):
    """
    The job ended badly.

    :param job: the ``Job`` that failed.
    """

    def __init__(self, what: str, *, job: Any, **facts: Any) -> None:
        facts.setdefault("job_id", getattr(job, "id", None))
        super().__init__(what, **facts)
        self.job = job


class TransferError(QwenImageError):
    """Copying an image failed. The image itself is paid; a copy never buys it again."""

    default_billing = "yes"

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.what.rstrip('. ')}.", self.advice) if part)


class ImageExpired(TransferError):
    """The image link is dead."""


class NotAnImage(TransferError):
    """The bytes are not an image, or not all of one."""


class ImageTooLarge(TransferError):
    """The image is larger than ``max_image_bytes``."""


class BlockedHost(TransferError):
    """The URL leads to an address that images are not fetched from."""


class ImageUnmarked(TransferError):
    """The image carries no mark of origin, or takes none; ``provenance`` says that it must. Its bytes are whole."""


class TransferIncomplete(TransferError):
    """
    Some images of a set could not be stored.

    :param failures: one ``{"index", "reason"}`` object for each.
    """

    def __init__(self, what: str, *, failures: Sequence[dict[str, Any]], advice: str = "") -> None:
        super().__init__(what, advice=advice)
        self.failures = list(failures)
