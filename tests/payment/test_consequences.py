"""What every error means in every state: the whole table, so that a change of it is seen as one."""

from __future__ import annotations

import pickle
from typing import get_args

import pytest

from airflow_provider_qwenimage.exceptions import (
    BlockedHost,
    BudgetExceeded,
    ContentRefused,
    GatewayUnreachable,
    ImageExpired,
    ImageTooLarge,
    ImageUnmarked,
    InvalidRequest,
    JobFailed,
    NoConnection,
    NotAnImage,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    TemporaryRefusal,
    TransferError,
    TransferIncomplete,
    UnexpectedReply,
    restore,
)
from airflow_provider_qwenimage.payment.consequences import NEXT, State, consequence, implied_state

ERRORS = {
    "invalid": lambda: InvalidRequest("n", "must be at least 1"),
    "no connection": lambda: NoConnection("qwen_prod"),
    "budget": lambda: BudgetExceeded("budget.per_day", "is 10"),
    "no turn": lambda: TemporaryRefusal("no turn came within 900 s", status=429, retry_after=30.0),
    "unreachable": lambda: GatewayUnreachable("no connection"),
    "lost answer": lambda: OutcomeUnknown("the answer was lost"),
    "deadline": lambda: OutcomeUnknown("not finished", job_id="job-1"),
    "throttled": lambda: TemporaryRefusal("busy", status=429),
    "no money": lambda: PermanentRefusal("no money", status=400),
    "key refused to a poll": lambda: PermanentRefusal("no key", status=401, billing="maybe", job_id="job-1"),
    "moderation": lambda: ContentRefused("blocked", status=400),
    "unread": lambda: UnexpectedReply("a page of HTML"),
    "job failed": lambda: JobFailed("FAILED", job=None),
    "job lost": lambda: JobFailed("not known any more", job=None, billing="maybe"),
    "copy": lambda: TransferError("S3 is away"),
    "unbilled copy": lambda: TransferError("an input cannot be read", billing="no"),
    "expired": lambda: ImageExpired("the link is dead"),
    "too large": lambda: ImageTooLarge("64 MiB"),
    "unmarked": lambda: ImageUnmarked("no mark of origin"),
    "blocked": lambda: BlockedHost("loopback"),
    "no image": lambda: NotAnImage("HTML"),
    "set": lambda: TransferIncomplete("1 of 2", failures=[]),
}
# error: (state afterwards, cost, retry) for intent, submitted, delivered
EXPECTED = {
    # A job is waited for again when the connection is what it was: its images are paid.
    "invalid": (
        ("refused", "nothing", "never"),
        ("submitted", "unknown", "recorded"),
        ("refused", "nothing", "never"),
    ),
    "no connection": (
        ("refused", "nothing", "never"),
        ("submitted", "unknown", "recorded"),
        ("refused", "nothing", "never"),
    ),
    "budget": (
        ("refused", "nothing", "never"),
        ("submitted", "unknown", "recorded"),
        ("refused", "nothing", "never"),
    ),
    "no turn": (
        ("refused", "nothing", "free"),
        ("submitted", "unknown", "recorded"),
        ("refused", "nothing", "free"),
    ),
    "unreachable": (
        ("refused", "nothing", "free"),
        ("submitted", "unknown", "recorded"),
        ("refused", "nothing", "free"),
    ),
    "lost answer": (
        ("unknown", "unknown", "asked"),
        ("submitted", "unknown", "recorded"),
        ("delivered", "paid", "never"),
    ),
    "deadline": (
        ("unknown", "unknown", "asked"),
        ("submitted", "unknown", "recorded"),
        ("delivered", "paid", "never"),
    ),
    "throttled": (
        ("refused", "nothing", "free"),
        ("submitted", "unknown", "recorded"),
        ("refused", "nothing", "free"),
    ),
    "no money": (("refused", "nothing", "never"),) * 3,
    "key refused to a poll": (
        ("unknown", "unknown", "never"),
        ("submitted", "unknown", "recorded"),
        ("delivered", "paid", "never"),
    ),
    "moderation": (("refused", "nothing", "never"),) * 3,
    "unread": (
        ("unknown", "unknown", "asked"),
        ("unknown", "unknown", "told"),
        ("delivered", "paid", "never"),
    ),
    "job failed": (("refused", "nothing", "free"),) * 3,
    "job lost": (
        ("unknown", "unknown", "asked"),
        ("unknown", "unknown", "told"),
        ("delivered", "paid", "never"),
    ),
    "copy": (
        ("unknown", "unknown", "told"),
        ("submitted", "paid", "recorded"),
        ("delivered", "paid", "recorded"),
    ),
    "unbilled copy": (
        ("intent", "nothing", "free"),
        ("submitted", "nothing", "free"),
        ("delivered", "nothing", "free"),
    ),
    "expired": (("unknown", "unknown", "told"),) * 3,
    "too large": (
        ("unknown", "unknown", "told"),
        ("submitted", "paid", "never"),
        ("delivered", "paid", "never"),
    ),
    "blocked": (
        ("unknown", "unknown", "told"),
        ("submitted", "paid", "never"),
        ("delivered", "paid", "never"),
    ),
    # Came inside the reply, its bytes are gone, and it is not bought again for lack of a mark.
    "unmarked": (
        ("done", "paid", "never"),
        ("submitted", "paid", "never"),
        ("delivered", "paid", "never"),
    ),
    "no image": (
        ("unknown", "unknown", "told"),
        ("submitted", "paid", "recorded"),
        ("delivered", "paid", "recorded"),
    ),
    "set": (
        ("unknown", "unknown", "told"),
        ("submitted", "paid", "recorded"),
        ("delivered", "paid", "recorded"),
    ),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize(("place", "state"), [(0, "intent"), (1, "submitted"), (2, "delivered")])
def test_an_error_means_what_the_table_says(name, place, state):
    assert tuple(consequence(ERRORS[name](), state=state)) == EXPECTED[name][place]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("state", ["unsent", "refused"])
def test_what_was_not_sent_cost_nothing_and_stays_as_it_was(name, state):
    follows = consequence(ERRORS[name](), state=state)
    assert (follows.state, follows.cost) == (state, "nothing")
    assert follows.retry == ("never" if ERRORS[name]().final else "free")


@pytest.mark.parametrize("name", ERRORS)
def test_an_unknown_outcome_never_becomes_known_by_another_error(name):
    assert consequence(ERRORS[name](), state="unknown").state == "unknown"


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("state", get_args(State))
def test_nothing_that_may_be_billed_is_sent_again_unasked(name, state):
    error = ERRORS[name]()
    follows = consequence(error, state=state)
    sent_and_billed = error.may_be_billed and state not in ("unsent", "refused")
    if sent_and_billed and follows.gets_on(on_unknown="fail"):
        assert NEXT[follows.state] in ("wait", "store", "nothing")


@pytest.mark.parametrize("name", ERRORS)
def test_without_a_record_nothing_is_tried_that_needs_one(name):
    for state in ("submitted", "delivered"):
        follows = consequence(ERRORS[name](), state=state)
        if follows.retry == "recorded":
            assert not follows.gets_on(on_unknown="resubmit", durable=False)


def test_advice_names_resubmit_only_where_it_would_change_something():
    follows = consequence(ERRORS["lost answer"](), state="intent")
    assert "with on_unknown_outcome='resubmit' a retry does" in follows.advice(on_unknown="fail")
    assert "The next try sends it again" in follows.advice(on_unknown="resubmit")
    for name in ("no money", "throttled", "copy"):
        assert "resubmit" not in consequence(ERRORS[name](), state="submitted").advice(on_unknown="fail")


def test_find_gets_on_only_where_the_gateway_can_tell_and_a_record_outlives_the_try():
    follows = consequence(ERRORS["lost answer"](), state="intent")
    assert follows.gets_on(on_unknown="find")
    assert "asks the gateway for its job" in follows.advice(on_unknown="find")
    assert not follows.gets_on(on_unknown="find", durable=False)
    # Its images are gone: no list of jobs brings them back.
    assert not consequence(ERRORS["expired"](), state="delivered").gets_on(on_unknown="find")


@pytest.mark.parametrize("durable", [True, False])
def test_what_carried_a_key_is_asked_for_again_whatever_the_author_allowed(durable):
    error = ERRORS["lost answer"]()
    error.keyed = True
    follows = consequence(error, state="intent")
    assert follows == ("unknown", "unknown", "keyed")
    assert follows.gets_on(on_unknown="fail", durable=durable)
    assert "billed once" in follows.advice(on_unknown="fail", durable=durable)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_survives_the_trigger_and_a_pickle(name):
    error = ERRORS[name]()
    for again in (restore(error.facts()), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.final == error.final


def test_a_class_that_is_imported_late_survives_a_pickle_too():
    restore({"kind": "QwenImageError"})

    class Late(TransferError):
        """Defined after the first error was restored."""

    assert type(restore(Late("x").facts())) is Late


@pytest.mark.parametrize(
    ("name", "state"), [("copy", "delivered"), ("deadline", "submitted"), ("lost answer", "intent")]
)
def test_an_error_alone_tells_the_state_it_speaks_of(name, state):
    assert implied_state(ERRORS[name]()) == state


def test_every_error_class_is_in_the_table_of_this_test():
    def below(kind):
        yield kind
        for further in kind.__subclasses__():
            yield from below(further)

    # What Airflow is told of them has the same name and module.
    kinds = {kind._kind() for kind in below(QwenImageError)}
    ours = {kind for kind in kinds if kind.__module__.endswith("qwenimage.exceptions")}
    from airflow_provider_qwenimage.exceptions import GatewayRefusal

    assert ours - {QwenImageError, GatewayRefusal} == {type(make()) for make in ERRORS.values()}
