"""Whose job it is: never another's, in schedules that nobody would think of, in virtual time."""

from __future__ import annotations

import heapq
import json
import logging
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.sdk import Variable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_qwenimage.gateway.account import witness
from airflow_provider_qwenimage.gateway.account.claims import AccountClaims, Told
from airflow_provider_qwenimage.gateway.account.place import RedisPlace
from airflow_provider_qwenimage.gateway.account.shared import SharedStore
from airflow_provider_qwenimage.gateway.account.turn import drive
from airflow_provider_qwenimage.gateway.connection import read
from airflow_provider_qwenimage.gateway.find import longest_exchange, searching
from airflow_provider_qwenimage.models.requests import Asked, GenerateRequest
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.payment.claims import RecordClaims
from airflow_provider_qwenimage.payment.finding import Lost, Seen, adopt
from airflow_provider_qwenimage.wire.job_list import JobFacts, ListedJob
from airflow_provider_qwenimage.wire.protocol import Pause, Reply

BEGIN = datetime(2026, 11, 21, 5, tzinfo=UTC).timestamp()
LONG = os.environ.get("QWENIMAGE_FUZZ") == "long"
SCHEDULES = 1000 if LONG else 150
SETTINGS = read(
    host="http://gateway.test",
    port=None,
    schema=None,
    password="k",
    extra={"gateway": "dashscope", "timeout": 60},
)
LONGEST = longest_exchange(SETTINGS).total_seconds()  # a request can be under way


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


class Server:
    """The account's Redis server, at the world's time: it has been there since ``whole_since``."""

    def __init__(self, world, redis_server):
        self.world, self.client = world, redis_server.client()
        self.client.flushall()
        self.run = self.client.info("server")["run_id"]
        self.whole_since = BEGIN - 86400.0

    def forget(self):
        self.client.flushall()
        self.whole_since = self.world.now

    def age(self):
        """Make the server as old as the world's clock says."""
        mark = f"{self.run} {self.client.time()[0] - (self.world.now - self.whole_since):.6f}"
        for key in ("told", "jobs"):
            self.client.hset(f"qwenimage:{{account}}:{key}", "mark", mark)


class Meeting:
    """A store as a process sees it: time passes between its answers."""

    def __init__(self, store, server, latency=0.1):
        self.store, self.server, self.latency = store, server, latency

    def perform(self, name, **asked):
        self.server.world.pass_time(self.latency)
        if name == "known":
            self.server.age()
        return self.store.perform(name, **asked)


class Task:
    """One task instance that asks for one image, and what becomes of its request."""

    def __init__(self, world, name, spec, *, meeting=None, away=None):
        self.world, self.name, self.spec = world, name, spec
        self.meeting, self.sees = meeting, away if spec["away"] else meeting
        self.request = GenerateRequest(prompt=spec["prompt"], model=spec["model"])
        self.got = self.adopted = None
        world.at(BEGIN + spec["begins"], self.send)

    def clock(self):
        return datetime.fromtimestamp(self.world.now, UTC)

    def lost(self, since, until):
        moments = [datetime.fromtimestamp(int(moment), UTC) for moment in (since, until)]
        return Lost.of(self.request, owner=f"{self.name}@{self.intent}", since=moments[0], until=moments[1])

    def send(self, again=False):
        world, spec = self.world, self.spec
        self.since, self.intent, self.job = world.now, int(again), None
        self.told = None
        if self.meeting:
            self.told = Told(SETTINGS, self.request, clock=self.clock)
            drive(self.sees, self.told.begun(f"{self.name}@{self.intent}", f"{self.name} {self.intent}"))
        ends = world.now + spec["travels"] + spec["answers"]
        arrives = spec["fate"] not in ("never arrives", "refused") or again
        if arrives:
            world.at(world.now + spec["travels"], self.made)
        if spec["fate"] == "answered":
            world.at(ends, self.answered)
        elif spec["fate"] == "refused":
            world.at(ends, self.refused)
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

    def refused(self):
        if self.told:
            drive(self.sees, self.told.ended(None, unbilled=True))

    def answered(self):
        if self.told:
            drive(self.sees, self.told.ended(self.answer(), unbilled=False))
        if self.told and self.spec["dies"]:  # between what it says to the others and its own record
            self.known_lost = None
            self.world.at(self.world.now + self.spec["looks"], self.look)
        else:
            self.got = self.job

    def answer(self):
        asked = Asked.of(self.request)
        return Job(id=self.job, gateway="dashscope", asked=asked, submitted_at=self.clock())

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
        claims = RecordClaims()
        if self.meeting:
            RecordClaims._adopted.clear()  # each looks in a process of its own
            claims = AccountClaims(self.meeting, SETTINGS, claims, clock=self.clock)
        found = adopt([lost], search.seen, whole=search.whole, claims=claims)
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
            "fate": st.sampled_from(["answered", "lost", "lost", "never arrives", "refused", "paid again"]),
            "away": st.sampled_from([False] * 4 + [True]),
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
    skews, forgets = st.sampled_from([-5.0, 0.0, 5.0]), st.sampled_from([None] * 7 + [10.0, 100.0, 500.0])
    quietly = settings(
        max_examples=SCHEDULES,
        derandomize=not LONG,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    quietly(given(schedules, skews, forgets)(check))()


def checked(world, tasks):
    """Return how many tasks found their jobs, none of which is another's."""
    world.pass_time(3000)
    owned = Counter(job for task in tasks for job in (task.got, task.adopted) if job)
    assert all(times == 1 for times in owned.values()), "two tasks have the same job"
    for task in tasks:
        if task.adopted:
            assert world.owner(task.adopted) == task.name, "the image is another's"
    return sum(1 for task in tasks if task.adopted)


PROMPTS = ["a mug", "a red mug", "a cup", "a lamp", "a chair", "a vase"]


@pytest.fixture
def stores(redis_server, monkeypatch, caplog):
    """A store that the server answers, and one of a process to which it is away, with Airflow's variables."""
    variables = {}
    # Each schedule begins with an empty memory.
    caplog.set_level(logging.ERROR, logger=SharedStore.__module__)
    monkeypatch.setattr(Variable, "set", lambda name, value, **_: variables.update({name: value}))
    monkeypatch.setattr(Variable, "get", lambda name, **known: variables.get(name, known["default"]))
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "run")
    pair = [SharedStore("account", RedisPlace("127.0.0.1", port)) for port in (redis_server.port, 1)]
    yield *pair, variables
    for store in pair:
        store.close()


@pytest.mark.parametrize("names_prompts", [True, False])
@pytest.mark.parametrize("there", ["always", "not always"])
def test_where_the_account_is_shared_no_schedule_gives_a_task_the_image_of_another(
    redis_server, stores, monkeypatch, names_prompts, there
):
    """
    Nor where the server forgets once, or is away for some of them.

    Two requests for the very same prompt cannot be told apart then, as by tasks that share nothing.
    """
    answering, silent, variables = stores
    adopted = []

    def check(schedule, skew, forgets):
        world = World(names_prompts=names_prompts, skew=skew)
        monkeypatch.setattr(witness, "time", SimpleNamespace(time=lambda: world.now))
        variables.clear()
        silent._untold._noted = 0.0
        server = Server(world, redis_server)
        if forgets is not None and there != "always":
            world.at(BEGIN + forgets, server.forget)
        away = Meeting(answering if there == "always" else silent, server)
        facts = {"meeting": Meeting(answering, server), "away": away}
        tasks = [Task(world, f"task-{number}", spec, **facts) for number, spec in enumerate(schedule)]
        adopted.append(checked(world, tasks))

    alike = there == "always" or not names_prompts
    generated(check, prompts=st.sampled_from(PROMPTS[:2] if alike else PROMPTS), unique=not alike)
    assert len(adopted) >= SCHEDULES
    assert sum(adopted) > SCHEDULES / 10  # and it finds what can be found


def played(schedule, skew, *, names_prompts):
    world = World(names_prompts=names_prompts, skew=skew)
    RecordClaims._adopted.clear()  # of processes that have ended
    return checked(world, [Task(world, f"task-{number}", spec) for number, spec in enumerate(schedule)])


def test_a_task_alone_is_given_what_names_its_prompt_and_no_image_of_another():
    adopted = []

    def check(schedule, skew, _):
        adopted.append(played(schedule, skew, names_prompts=True))

    generated(check, prompts=st.sampled_from(PROMPTS), unique=True)
    assert len(adopted) >= SCHEDULES
    assert sum(adopted) > SCHEDULES / 5


def test_a_task_alone_is_given_nothing_that_names_no_prompt():
    def check(schedule, skew, _):
        assert played(schedule, skew, names_prompts=False) == 0

    generated(check, prompts=st.sampled_from(PROMPTS), unique=False)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (JobFacts("RUNNING", ended=False), True),
        (JobFacts("FAILED", ended=True), True),
        (JobFacts("UNKNOWN", ended=True, shown=False), False),  # as the vendor says of another key's
        (None, False),
    ],
)
def test_a_job_that_is_not_shown_to_this_key_is_not_taken_for_one_of_its_own(stores, facts, found):
    RecordClaims._adopted.clear()
    moment = datetime(2026, 11, 21, 5, tzinfo=UTC)
    lost = Lost("task@1", "wan2.6-t2i", "a digest", 1, moment, moment)
    job = ListedJob("job", "wan2.6-t2i", moment, "RUNNING")
    claims = AccountClaims(stores[0], SETTINGS, RecordClaims(), clock=lambda: moment - timedelta(hours=9))

    assert bool(adopt([lost], [Seen(job, facts)], whole=True, claims=claims)) == found
