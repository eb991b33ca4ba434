"""Whose job it is: never another's, in schedules that nobody would think of, in virtual time."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_qwenimage.gateway.find import searching
from airflow_provider_qwenimage.models.requests import GenerateRequest
from airflow_provider_qwenimage.payment.claims import RecordClaims
from airflow_provider_qwenimage.payment.finding import Lost, adopt
from airflow_provider_qwenimage.wire.protocol import Pause, Reply

BEGIN = datetime(2026, 11, 21, 5, tzinfo=UTC).timestamp()
SCHEDULES = 1000
LONGEST = 300.0  # seconds a request can be under way


class World:
    """A gateway with jobs, and what happens around it at its time."""

    def __init__(self, *, names_prompts, skew):
        self.now, self.skew = BEGIN, skew
        self.names_prompts = names_prompts
        self.jobs, self._due, self._order = [], [], count()

    def at(self, when, what):
        heapq.heappush(self._due, (max(when, self.now), next(self._order), what))

    def pass_time(self, seconds):
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            when, _, what = heapq.heappop(self._due)
            self.now = max(self.now, when)
            what()
        self.now = max(self.now, end)

    def make(self, *, of, model, prompt, seconds):
        job = {"id": f"job-{len(self.jobs)}", "of": of, "model": model, "prompt": prompt}
        self.jobs.append({**job, "at": self.now + self.skew, "ends": self.now + seconds})
        return job["id"]

    def owner(self, job_id):
        return next(job["of"] for job in self.jobs if job["id"] == job_id)

    def drive(self, flow, latency):
        """Answer a flow as the vendor does; everything else goes on meanwhile."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    self.pass_time(step.seconds)
                    step = flow.send(None)
                    continue
                self.pass_time(latency)
                body = self.answer(step.path)
                self.pass_time(latency)
                step = flow.send(Reply(200, {"content-type": "application/json"}, json.dumps(body).encode()))
        except StopIteration as stop:
            return stop.value

    def answer(self, path):
        url = urlsplit(path)
        if url.path.endswith("/tasks"):
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            found = [job for job in reversed(self.jobs) if asked.get("model_name") in (None, job["model"])]
            page, size = int(asked["page_no"]), 2  # a vendor may give fewer than it is asked for
            rows = [self.row(job) for job in found[(page - 1) * size : page * size]]
            return {"data": rows, "total": len(found), "total_page": -(-len(found) // size), "page_no": page}
        (job,) = (job for job in self.jobs if url.path.endswith(f"/{job['id']}"))
        output = {"task_id": job["id"], "task_status": self.state(job)}
        if self.state(job) == "SUCCEEDED":
            output["task_metrics"] = {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}
            output["results"] = [{"url": "https://x.test/a.png"}]
            if self.names_prompts:
                output["results"][0]["orig_prompt"] = job["prompt"]
        return {"request_id": "r", "output": output}

    def state(self, job):
        return "SUCCEEDED" if self.now >= job["ends"] else "RUNNING"

    def row(self, job):
        created = round(job["at"] * 1000)
        return {
            "task_id": job["id"], "model_name": job["model"], "gmt_create": created,
            "status": self.state(job), "request_id": f"submission of {job['id']}",
        }  # fmt: skip


class Shelf:
    """A shared store in the memory of a test; time passes between its answers."""

    def __init__(self, world, latency):
        self.world, self.latency = world, latency
        self.jobs, self.open = {}, {}

    def put_new(self, key, value, *, seconds):
        self.world.pass_time(self.latency)
        return self.jobs.setdefault(key, value)

    def values(self, keys):
        self.world.pass_time(self.latency)
        return {key: self.jobs[key] for key in keys if key in self.jobs}

    def put(self, field, value):
        self.open[field] = value

    def drop(self, field):
        self.open.pop(field, None)

    def fields(self):
        self.world.pass_time(self.latency)
        return dict(self.open)


KEPT = timedelta(hours=25)  # a job is listed for 24 h


class AccountClaims:
    """
    What every process of an account has said, as ``Claims`` wants it.

    :param shelf: where they meet.
    :param clock: the time of this process.
    """

    shared = True

    def __init__(self, shelf, *, clock) -> None:
        self._shelf, self._clock = shelf, clock

    def begin(self, lost):
        """Say what is about to be asked for; when this fails, nothing must be sent."""
        told = {**asdict(lost), "since": lost.since.isoformat(), "until": None}
        self._shelf.put(lost.owner, json.dumps(told))

    def end(self, lost):
        """Take it back: it was answered, and its job claimed before; or it was turned away, and made none."""
        self._shelf.drop(lost.owner)

    def others(self, lost):
        """
        See ``Claims``.

        What somebody has given up and pays for again counts too: there may be a job of it.
        """
        now, found = self._clock(), []
        for owner, told in self._shelf.fields().items():
            facts = json.loads(told)
            since = datetime.fromisoformat(facts["since"])
            if now - since > KEPT:
                self._shelf.drop(owner)
            elif owner != lost.owner:
                found.append(Lost(**{**facts, "since": since, "until": now}))
        return found

    def owners(self, job_ids):
        """See ``Claims``."""
        return self._shelf.values(job_ids)

    def claim(self, job_id, owner):
        """See ``Claims``."""
        return self._shelf.put_new(job_id, owner, seconds=KEPT.total_seconds()) == owner


class Task:
    """One task instance that asks for one image, and what becomes of its request."""

    def __init__(self, world, name, spec, claims):
        self.world, self.name, self.spec, self.claims = world, name, spec, claims
        self.request = GenerateRequest(prompt=spec["prompt"], model=spec["model"])
        self.got = self.adopted = None
        world.at(BEGIN + spec["begins"], self.send)

    @property
    def shared(self):
        return self.claims.shared

    def lost(self, since, until):
        moments = [datetime.fromtimestamp(int(moment), UTC) for moment in (since, until)]
        return Lost.of(self.request, owner=f"{self.name}@{self.intent}", since=moments[0], until=moments[1])

    def send(self, again=False):
        world, spec = self.world, self.spec
        self.since, self.intent = world.now, int(again)
        if self.shared:
            self.claims.begin(self.lost(self.since, self.since))
        ends = world.now + spec["travels"] + spec["answers"]
        arrives = spec["fate"] != "never arrives" or again
        if arrives:
            world.at(world.now + spec["travels"], self.made)
        if spec["fate"] == "answered":
            world.at(ends, self.answered)
        elif spec["fate"] == "paid again" and not again:
            world.at(ends + spec["looks"], lambda: self.send(again=True))
        elif spec["fate"] == "paid again":
            world.at(ends, self.answered)
        else:
            self.known_lost = None if spec["killed"] else ends
            world.at(ends + spec["looks"], self.look)

    def made(self):
        spec = self.spec
        self.job = self.world.make(
            of=self.name, model=spec["model"], prompt=spec["prompt"], seconds=spec["takes"]
        )

    def answered(self):
        self.got = self.job
        if self.shared:
            lost = self.lost(self.since, self.since)
            assert self.claims.claim(self.job, lost.owner)
            if not self.spec["dies"]:  # between what it says there and what it takes back there
                self.claims.end(lost)

    def look(self):
        until = self.known_lost or min(self.world.now, self.since + LONGEST)
        lost = self.lost(self.since, until)
        flow = searching(
            [lost],
            owned=(),
            pages=9,
            interval=5.0,
            seconds=self.spec["patience"],
            clock=lambda: self.world.now,
        )
        search = self.world.drive(flow, self.spec["latency"])
        found = adopt([lost], search.seen, whole=search.whole, claims=self.claims)
        if lost.owner in found:
            self.adopted = found[lost.owner].id
        elif self.spec["looks_again"]:
            self.spec = {**self.spec, "looks_again": False}
            self.world.at(self.world.now + 30, self.look)


def specs(prompts):
    seconds = st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0, 29.0, 61.0])
    return st.fixed_dictionaries(
        {
            "model": st.sampled_from(["wan2.5-t2i-preview", "wan2.5-t2i-preview", "wan2.6-t2i"]),
            "prompt": prompts,
            "begins": st.sampled_from([0.0, 0.2, 1.0, 2.0, 15.0, 40.0, 90.0, 200.0]),
            "travels": seconds,
            "answers": seconds,
            "takes": st.sampled_from([0.0, 2.0, 30.0, 120.0]),
            "fate": st.sampled_from(["answered", "lost", "lost", "never arrives", "paid again"]),
            "killed": st.booleans(),
            "dies": st.booleans(),
            "looks": st.sampled_from([0.0, 0.5, 10.0, 60.0, 300.0]),
            "looks_again": st.booleans(),
            "patience": st.sampled_from([0.0, 20.0, 600.0]),
            "latency": st.sampled_from([0.0, 0.05, 0.4]),
        }
    )


def generated(check, *, prompts, unique):
    """Run a check on generated schedules of two to five tasks."""
    by = (lambda spec: spec["prompt"]) if unique else None
    schedules = st.lists(specs(prompts), min_size=2, max_size=5, unique_by=by)
    skews = st.sampled_from([-5.0, 0.0, 5.0])
    quietly = settings(
        max_examples=SCHEDULES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    quietly(given(schedules, skews)(check))()


def played(schedule, skew, *, names_prompts, shared):
    world = World(names_prompts=names_prompts, skew=skew)
    RecordClaims._adopted.clear()  # of processes that have ended
    shelf = Shelf(world, 0.1)
    tasks = []
    for number, spec in enumerate(schedule):
        clock = lambda: datetime.fromtimestamp(world.now, UTC)  # noqa: E731
        claims = AccountClaims(shelf, clock=clock) if shared else RecordClaims()
        tasks.append(Task(world, f"task-{number}", spec, claims))
    world.pass_time(2000)
    owned = Counter(job for task in tasks for job in (task.got, task.adopted) if job)
    assert all(times == 1 for times in owned.values()), "two tasks have the same job"
    for task in tasks:
        if task.adopted:
            assert world.owner(task.adopted) == task.name, "the image is another's"
    return sum(1 for task in tasks if task.adopted)


PROMPTS = ["a mug", "a red mug", "a cup", "a lamp", "a chair", "a vase"]


@pytest.mark.parametrize("names_prompts", [True, False])
def test_where_the_account_is_shared_no_schedule_gives_a_task_the_image_of_another(names_prompts):
    adopted = []

    def check(schedule, skew):
        adopted.append(played(schedule, skew, names_prompts=names_prompts, shared=True))

    generated(check, prompts=st.sampled_from(PROMPTS[:2]), unique=False)
    assert len(adopted) >= SCHEDULES
    assert sum(adopted) > SCHEDULES / 50  # and it finds what can be found


def test_a_task_alone_is_given_what_names_its_prompt_and_no_image_of_another():
    adopted = []

    def check(schedule, skew):
        adopted.append(played(schedule, skew, names_prompts=True, shared=False))

    generated(check, prompts=st.sampled_from(PROMPTS), unique=True)
    assert len(adopted) >= SCHEDULES
    assert sum(adopted) > SCHEDULES / 5


def test_a_task_alone_is_given_nothing_that_names_no_prompt():
    def check(schedule, skew):
        assert played(schedule, skew, names_prompts=False, shared=False) == 0

    generated(check, prompts=st.sampled_from(PROMPTS), unique=False)
