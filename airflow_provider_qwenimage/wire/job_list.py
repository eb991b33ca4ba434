"""
The gateway's list of an account's jobs, and what a job's own document tells of what was asked.

Fields by the vendor's task management page (2026-10-12). The list names model, time and the submission's request id, no
prompt; the document of a job names the prompt once it has images, on the older endpoints only (contract 4.3).
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from airflow_provider_qwenimage.exceptions import TemporaryRefusal, UnexpectedReply
from airflow_provider_qwenimage.wire.documents import Document, as_dict, as_list, as_word, describe, documents
from airflow_provider_qwenimage.wire.job_states import STATES, TASKS, state_word, usable_id
from airflow_provider_qwenimage.wire.protocol import Call, Flow, Pause
from airflow_provider_qwenimage.wire.refusals import classify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_qwenimage.wire.flows import Conduct

PAGE = 100  # jobs; the page names no limit, clients in public use as many
PAGES = 50  # of the last 24 hours, which is what the list is of where no times are asked for
_TIMEOUT = 10.0  # seconds; a list is free, and asked for when something is wrong already
_ATTEMPTS = 3
_LONGEST_PAUSE = 5.0  # seconds
_MILLISECONDS = 1000.0
_LATEST = 32503680000.0  # epoch seconds of the year 3000: a number beyond it is no time


class ListedJob(NamedTuple):
    """
    One row of the list.

    :param at: when it was created.
    :param state: the gateway's word.
    """

    id: str
    model: str
    at: datetime
    state: str
    request_id: str | None = None


class JobList(NamedTuple):
    """
    The jobs that were listed.

    :param whole: whether no job of the time asked for can be missing.
    """

    jobs: tuple[ListedJob, ...]
    whole: bool


class JobFacts(NamedTuple):
    """
    What the document of a job tells.

    :param ended: whether nothing will be added to it.
    :param prompts: those it names.
    :param images: how many images it was to make.
    :param shown: whether there is a document; the gateway calls unknown what another key or region submitted.
    """

    state: str
    ended: bool
    prompts: frozenset[str] = frozenset()
    images: int | None = None
    shown: bool = True


def list_jobs(*, model: str | None, since: datetime, conduct: Conduct, pages: int = PAGES) -> Flow[JobList]:
    """
    List the jobs of the last 24 hours, to the first that is older than ``since`` where they come newest first.

    No times are asked for: the page does not say of which zone they are read.

    :param model: only its jobs; all where omitted.
    :raises QwenImageError: the gateway cannot be asked.
    """
    jobs: dict[str, ListedJob] = {}
    whole = readable = True
    times: list[datetime] = []
    for page in range(1, pages + 1):
        asked = {"page_no": page, "page_size": PAGE, **({"model_name": model} if model else {})}
        document = yield from _page(Call("GET", f"{TASKS}?{urlencode(asked)}", timeout=_TIMEOUT), conduct)
        rows = as_list(document["data"])
        read = [job for row in rows if (job := _listed(as_dict(row)))]
        readable = readable and len(read) == len(rows)
        jobs.update((job.id, job) for job in read)
        times += [job.at for job in read]
        newest_first = len(times) > 1 and times == sorted(times, reverse=True)
        past = newest_first and times[-1] < since
        if not rows or past or _number(document.get("total_page")) <= page:
            break
    else:
        whole = False
    return JobList(tuple(jobs.values()), whole and readable)


def _page(call: Call, conduct: Conduct) -> Flow[Document]:
    """Ask for one page; a refusal because too many ask at once is waited out."""
    for attempt in count(1):
        reply = yield call
        assert reply is not None
        found = documents(reply)
        if reply.status < 300 and found and isinstance(found[0].get("data"), list):
            return found[0]
        what = f"The list of jobs was answered with {describe(reply)}"
        problem = classify(reply, found, now=conduct.clock()) or UnexpectedReply(what, billing="no")
        if not isinstance(problem, TemporaryRefusal) or attempt == _ATTEMPTS:
            raise problem
        yield Pause(min(problem.retry_after or 1.0, _LONGEST_PAUSE))
    raise AssertionError  # pragma: no cover - count() does not end


def look(job_id: str) -> Flow[JobFacts]:
    """Read the document of a job; an answer that tells nothing of it is as good as a job that goes on."""
    reply = yield Call("GET", f"{TASKS}/{quote(job_id, safe='')}", timeout=_TIMEOUT)
    assert reply is not None
    found = documents(reply)
    document = found[0] if found else {}
    word = state_word(document)
    if reply.status >= 300 or word not in STATES:
        return JobFacts("UNREADABLE", ended=False, shown=False)
    output = as_dict(document.get("output"))
    metrics = as_dict(output.get("task_metrics") or output.get("task_metric"))
    return JobFacts(
        word,
        ended=STATES[word] != "waiting",
        prompts=frozenset(_prompts(output)),
        images=_number(metrics.get("TOTAL")) or None,
        shown=STATES[word] != "lost",
    )


def _listed(row: Mapping[str, Any]) -> ListedJob | None:
    job_id, created = usable_id(row.get("task_id")), _number(row.get("gmt_create")) / _MILLISECONDS
    if job_id is None or not 0 < created < _LATEST:
        return None
    return ListedJob(
        id=job_id,
        model=as_word(row.get("model_name")) or "",
        at=datetime.fromtimestamp(created, UTC),
        state=as_word(row.get("status")) or "UNKNOWN",
        request_id=as_word(row.get("request_id")) or None,
    )


def _prompts(output: Mapping[str, Any]) -> Iterator[str]:
    for item in (output, *map(as_dict, as_list(output.get("results")))):
        named = item.get("orig_prompt")
        if isinstance(named, str) and named.strip():
            yield named.strip()


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
