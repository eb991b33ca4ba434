"""What a store does for those who share an account: the same alone and in Redis."""

from __future__ import annotations

import itertools
import time

import pytest

from airflow_provider_qwenimage.gateway.account.learning import Learned
from airflow_provider_qwenimage.gateway.account.local import LocalStore

FREE = {"gaps": (0.0, 0.0), "caps": (0, 0), "life": 45.0}


class Here:
    """Asks a store as a turn does; waits where the store says so, on the clock that the store goes by."""

    def __init__(self, store):
        self.store = store

    def ask(self, holder, line="m", *, ticket=0.0, **bounds):
        return self.store.perform("ask", holder=holder, line=line, ticket=ticket, **{**FREE, **bounds})

    def end(self, holder, line="m", *, level=1, accepted=True, refused=False):
        self.store.perform("end", holder=holder, line=line, level=level, accepted=accepted, refused=refused)


@pytest.fixture
def here(store):
    here = Here(store)
    begun = 0
    while begun <= 40:  # past the first ones, which leave one after the other
        answer = here.ask(f"first {begun}")
        time.sleep(answer.wait)
        if answer.granted:
            here.end(f"first {begun}")
            begun += 1
    return here


def test_where_nothing_bounds_it_everybody_goes_at_once(here):
    answers = [here.ask(f"h{number}") for number in range(50)]
    assert {(answer.granted, answer.wait) for answer in answers} == {(True, 0.0)}


@pytest.mark.parametrize("gaps", [(60.0, 0.0), (0.0, 60.0)])
def test_a_turn_of_the_account_or_the_model_is_a_gap_away_from_the_last(here, gaps):
    first, second = here.ask("a", gaps=gaps), here.ask("b", gaps=gaps)

    assert first.granted
    assert not second.granted
    assert second.estimate == pytest.approx(60, abs=1)
    assert 0 < second.wait <= 5


def test_a_models_gap_is_no_other_models(here):
    here.ask("a", gaps=(0.0, 60.0))
    assert here.ask("b", "other", gaps=(0.0, 60.0)).granted


def test_the_accounts_gap_is_every_models(here):
    here.ask("a", gaps=(60.0, 0.0))
    assert not here.ask("b", "other", gaps=(60.0, 0.0)).granted


def test_who_came_first_goes_first_and_keeps_its_place(here):
    here.ask("a", caps=(1, 0))
    second = here.ask("b", caps=(1, 0))
    third = here.ask("c", caps=(1, 0))
    here.end("a")

    assert not here.ask("c", ticket=third.ticket, caps=(1, 0)).granted
    assert here.ask("b", ticket=second.ticket, caps=(1, 0)).granted


def test_who_was_away_comes_back_to_its_place(here):
    here.ask("a", caps=(1, 0))
    second = here.ask("b", caps=(1, 0))
    here.store.perform("leave", holder="b", line="m")
    here.ask("c", caps=(1, 0))
    here.end("a")

    assert here.ask("b", ticket=second.ticket, caps=(1, 0)).granted


def test_who_gives_up_its_place_holds_nobody_up(here):
    here.ask("a", caps=(1, 0))
    here.ask("b", caps=(1, 0))
    here.ask("c", caps=(1, 0))
    here.end("a")
    here.store.perform("leave", holder="b", line="m")

    assert here.ask("c", caps=(1, 0)).granted


@pytest.mark.parametrize("caps", [(2, 0), (0, 2)])
def test_a_seat_is_held_until_it_is_given_back(here, caps):
    answers = [here.ask(holder, caps=caps) for holder in "abc"]
    assert [answer.granted for answer in answers] == [True, True, False]
    assert [answer.level for answer in answers[:2]] == [1, 2]
    here.end("a")
    assert here.ask("c", caps=caps).granted


def test_a_jobs_seat_is_the_jobs_until_its_end(here):
    here.ask("a", caps=(1, 0))
    here.store.perform("job", holder="a", line="m", level=1, job="job:1", life=60.0)
    assert not here.ask("b", caps=(1, 0)).granted
    here.end("job:1", accepted=False)
    assert here.ask("b", caps=(1, 0)).granted


def test_a_seat_nobody_renews_comes_back_by_itself(here):
    here.ask("dead", caps=(1, 0), life=0.05)
    deadline = time.monotonic() + 30
    while not here.ask("b", caps=(1, 0)).granted:
        assert time.monotonic() < deadline


def test_a_poll_keeps_its_jobs_seat(here):
    here.ask("a", caps=(1, 0))
    here.store.perform("job", holder="a", line="m", level=1, job="job:1", life=0.01)
    assert here.store.perform("poll", gap=0.001, leases={"job:1": ("m", 60.0)}) == 0
    assert not here.ask("b", caps=(1, 0)).granted


def test_polls_are_a_gap_apart_and_silent_after_a_429(here):
    poll = {"gap": 60.0, "leases": {}}
    assert here.store.perform("poll", **poll) == 0
    assert here.store.perform("poll", **poll) == pytest.approx(60, abs=1)
    said = {"first": 5.0, "longest": 600.0}
    here.store.perform("heard", hush=300.0, **said)
    assert here.store.perform("poll", **poll) == pytest.approx(300, abs=1)


def test_a_task_is_told_to_come_when_its_turn_is_near_and_only_as_many_as_can_sit(here):
    bounds = {"caps": (1, 0), "look": True}
    told = here.ask("a", **bounds)
    assert told.granted
    waiting = here.ask("b", **bounds)
    assert not waiting.granted
    assert here.ask("a", ticket=told.ticket, caps=(1, 0)).granted  # it came, and sits
    assert not here.ask("b", ticket=waiting.ticket, **bounds).granted
    here.end("a")
    assert here.ask("b", ticket=waiting.ticket, **bounds).granted


def test_a_task_whose_turn_is_far_is_not_told_to_come(here):
    here.ask("a", gaps=(0.0, 60.0))
    assert not here.ask("b", gaps=(0.0, 60.0), look=True).granted


def test_what_one_has_learnt_all_go_by(here):
    here.ask("a")
    seen = here.store.perform("evidence", holder="a", line="m")
    learned = Learned(gap=30.0, seats=3, quiet=0.0, judged=seen.now, held=seen.now + 60, cause="speed")
    kept = {"line": "m", "before": seen.learned.judged, "silence": 0.0}

    assert here.store.perform("learn", learned=learned, **kept)
    assert not here.store.perform("learn", learned=learned, **kept)  # somebody has learnt meanwhile
    again = here.store.perform("evidence", holder="a", line="m")
    assert str(again.learned) == str(learned) == "about 2 a minute, 3 at once"
    here.end("a")
    here.ask("b")
    assert here.ask("c").estimate == pytest.approx(30, abs=1)


def test_a_429_silences_every_model_for_as_long_as_the_gateway_asks(here):
    here.ask("a")
    seen = here.store.perform("evidence", holder="a", line="m")
    here.store.perform("learn", line="m", learned=Learned(judged=seen.now), before=0.0, silence=40.0)
    answer = here.ask("b", "other")
    assert not answer.granted
    assert answer.estimate == pytest.approx(40, abs=1)


def test_evidence_is_of_what_was_sent_and_not_refused(here):
    for holder in "abc":
        here.ask(holder)
    here.end("b", accepted=False, refused=True)
    seen = here.store.perform("evidence", holder="c", line="m")
    assert seen.running == 1
    assert len([when for when in seen.sent if when > seen.at - 0.5]) >= 1
    assert seen.peak >= 1


def test_the_first_requests_of_an_unknown_model_leave_one_after_the_other():
    here = Here(LocalStore(clock=lambda: 100.0))
    answers = [here.ask(f"h{number}") for number in range(40)]
    leave = [answer.wait for answer in answers if answer.granted]
    gaps = [later - earlier for earlier, later in itertools.pairwise(leave)]
    assert leave[:5] == [0.0] * 5
    assert gaps[5] == pytest.approx(0.04, abs=0.01)
    assert gaps[5:] == sorted(gaps[5:], reverse=True)


def test_a_clock_that_stands_still_lets_no_second_turn_pass():
    now = [100.0]
    here = Here(LocalStore(clock=lambda: now[0]))
    assert here.ask("a", gaps=(0.0, 10.0)).granted
    waiting = here.ask("b", gaps=(0.0, 10.0))
    now[0] += 9.7
    assert not here.ask("b", gaps=(0.0, 10.0), ticket=waiting.ticket).granted
    now[0] += 0.2
    given = here.ask("b", gaps=(0.0, 10.0), ticket=waiting.ticket)
    assert given.granted
    assert given.wait == pytest.approx(0.1, abs=0.02)
