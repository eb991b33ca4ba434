"""A fleet shares one key: two workers, mapped tasks and batches together keep to what the account may do."""

from __future__ import annotations

from scale.conftest import NARROW, SECONDS

MAPPED, BATCHED = 60, 2 * 30
PATIENCE = 600.0  # seconds; it takes 72 at the limit's own speed


def test_mapped_tasks_beside_batches_meet_no_refusal(airflow, narrow_gateway, capsys):
    a_second, at_once = NARROW["requests_per_minute"] / 60, NARROW["concurrency"]
    runs = [airflow.trigger(dag_id) for dag_id in ("crowd", "batches")]

    states = [airflow.wait_for(run, patience=PATIENCE) for run in runs]

    arrived = sorted(each.at for each in narrow_gateway.state.requests if each.kind == "generate")
    speed, ideal = (len(arrived) - 1) / (arrived[-1] - arrived[0]), min(a_second, at_once / SECONDS)
    with capsys.disabled():
        print(  # noqa: T201 - the figure is what one comes here for
            f"\n{MAPPED} mapped tasks beside 2 batches of {BATCHED // 2}, {a_second:g} a second and {at_once} at once, "
            f"{SECONDS:g} s each: {speed:.2f} a second, {speed / ideal:.2f} of the limit's own speed"
        )
    seen = narrow_gateway.state.accounts.snapshot()
    assert not any(seen["refused"].values()), seen
    assert states == ["success", "success"]
    assert narrow_gateway.state.posts == narrow_gateway.state.billed == MAPPED + BATCHED
    tasks = [task for run in runs for task in airflow.tasks(run)]
    assert {task["try_number"] for task in tasks} == {1}
    assert {task["hostname"] for task in tasks} == {"worker-1", "worker-2"}
