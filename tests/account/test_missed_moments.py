"""Who writes its intent down slowly misses the moment it was given: it takes the next, and nobody is crowded."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.gateway.account.limits import Allowed, Limit

LIMITS = {
    "account": Allowed(Limit(requests_per_minute=120), Limit()),
    "model": Allowed(Limit(), Limit(requests_per_minute=120)),
}


@pytest.mark.parametrize("of", LIMITS)
def test_who_missed_its_moment_leaves_a_whole_gap_after_the_last_that_was_given(store, of):
    bounds = LIMITS[of].bounds
    gap = max(bounds["gaps"])
    late = store.perform("ask", holder="late", line="m", ticket=0.0, life=60.0, **bounds)
    assert late.granted

    ahead = store.perform("missed", holder="late", line="m", gaps=bounds["gaps"])

    assert 0 < ahead <= gap
    after = store.perform("ask", holder="after", line="m", ticket=0.0, life=60.0, **bounds)
    assert not after.granted
    assert ahead < after.estimate <= ahead + gap


def test_where_nothing_bounds_the_requests_a_missed_moment_costs_nothing(store):
    bounds = Allowed(Limit(requests_per_minute=60000), Limit()).bounds
    store.perform("ask", holder="late", line="m", ticket=0.0, life=60.0, **bounds)

    assert store.perform("missed", holder="late", line="m", gaps=bounds["gaps"]) < 0.01
