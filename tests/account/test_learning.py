"""What a refusal teaches where nobody has written the limit down."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.gateway.account.learning import Evidence, Learned, judge


def evidence(*sent, at, running=0, peak=0, learned=None, now=None):
    return Evidence(
        now=at if now is None else now,
        at=at,
        sent=sent,
        running=running,
        peak=peak,
        learned=learned or Learned(),
    )


def test_as_many_in_a_second_as_never_before_is_the_speed():
    learned = judge(evidence(100.0, 100.1, at=100.2, running=2))
    assert (learned.cause, str(learned)) == ("speed", "about 1.8 a second")
    assert learned.quiet == pytest.approx(101.3)


def test_as_many_at_once_as_never_before_are_the_seats_where_the_speed_has_been_borne():
    sent = (100.0, 100.1, 101.2, 101.8, 102.4, 102.9)
    learned = judge(evidence(*sent, at=103.5, running=5, peak=4, learned=Learned(gap=0.55, judged=100.2)))
    assert (learned.cause, learned.seats, learned.gap) == ("seats", 5, 0.55)


def test_where_neither_is_new_somebody_else_uses_the_account_too():
    sent = (100.0, 100.1, 105.0)
    learned = judge(evidence(*sent, at=105.5, running=1, peak=4, learned=Learned(gap=0.55, judged=100.2)))
    assert learned.cause == "others"
    assert learned.gap == pytest.approx(0.55 * 1.15)


def test_where_nothing_was_sent_for_a_second_it_is_looked_twice_before_it_is_a_minutes_limit():
    sent, learned, at, quiet = (100.0, 100.1), Learned(gap=0.55, judged=100.2), 101.3, []
    for _ in range(3):
        learned = judge(evidence(*sent, at=at, peak=2, learned=learned))
        quiet.append(learned.quiet - at)
        at = learned.quiet
    assert quiet[:2] == pytest.approx([1, 2])
    assert learned.quiet == pytest.approx(160.5)  # when the first of the two is a minute old
    assert str(learned) == "about 2 a minute"


def test_what_the_gateway_asks_for_is_waited_and_no_guess():
    assert judge(evidence(at=100.0), asked=40.0).quiet == 140.0
    assert judge(evidence(at=100.0), asked=0.0).quiet == 101.0


def test_those_that_met_the_same_wall_are_judged_once():
    first = judge(evidence(100.0, at=100.1, now=100.2))
    again = judge(evidence(100.0, at=100.15, now=100.3, learned=first))
    assert again.gap == first.gap
    assert again.step == first.step


def test_the_first_of_a_burst_may_be_heard_last_and_says_nothing_of_seats():
    first = judge(evidence(100.0, 100.05, at=100.1, running=5))
    last = judge(evidence(at=99.98, now=100.3, running=3, learned=first))
    assert (last.seats, last.gap, last.cause) == (0, first.gap, "speed")


def test_processes_that_know_nothing_of_each_other_do_not_march_in_step():
    waits = {judge(evidence(at=100.0), jitter=jitter).quiet for jitter in (0.0, 0.5, 1.0)}
    assert waits == {101.0, 101.5, 102.0}


def test_it_settles_below_the_limit_and_looks_more_and_more_seldom_whether_there_is_more():
    learned = judge(evidence(100.0, at=100.1))
    assert learned.eased(learned.held - 1) is learned
    eased = learned.eased(learned.held)
    assert eased.gap == pytest.approx(learned.gap * 0.95)
    assert eased.eased(eased.held).gap == pytest.approx(eased.gap * 0.95**2)
    at = eased.held + 5
    refused = judge(evidence(at - 3, at - 0.5, at=at, learned=eased, peak=9))
    assert refused.step == 2 * learned.step


def test_seats_come_back_one_at_a_time():
    learned = judge(evidence(at=100.0, running=3))
    assert (learned.seats, learned.eased(learned.held).seats) == (3, 4)
