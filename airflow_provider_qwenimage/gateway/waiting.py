"""Waits for jobs and cancels them; what is asked of a job is asked only where it was submitted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.exceptions import JobFailed, OutcomeUnknown, PermanentRefusal, QwenImageError
from airflow_provider_qwenimage.gateway.account.line import JobEnd
from airflow_provider_qwenimage.gateway.account.polls import PollTurns
from airflow_provider_qwenimage.gateway.calls import conduct, named
from airflow_provider_qwenimage.transport import AsyncHttpClient, HttpClient, arun, run
from airflow_provider_qwenimage.wire import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.results import Generation, Job
    from airflow_provider_qwenimage.wire.protocol import Flow


def wait(client: HttpClient, settings: Settings, job: Job, *, interval: float, timeout: float) -> Generation:
    """Poll a job to its end, each poll in its turn; ``timeout`` counts from its submission."""
    flow = _waiting(settings, job, interval=interval, timeout=timeout)
    with JobEnd(settings, job) as end:
        with named(settings, job_id=job.id), _shown(settings, job):
            generation = run(client, flow, turns=PollTurns.of(settings, job, interval=interval))
        end.generation = generation = settings.priced(_adopted(generation, job), job.asked)
    return generation


async def await_job(
    client: AsyncHttpClient, settings: Settings, job: Job, *, interval: float, deadline: float
) -> Generation:
    """See ``wait``; ``deadline`` is its ``timeout``."""
    flow = _waiting(settings, job, interval=interval, timeout=deadline)
    async with JobEnd(settings, job) as end:
        with named(settings, job_id=job.id), _shown(settings, job):
            generation = await arun(client, flow, turns=PollTurns.of(settings, job, interval=interval))
        end.generation = generation = settings.priced(_adopted(generation, job), job.asked)
    return generation


def cancel(client: HttpClient, job: Job) -> bool:
    """Cancel a job that has not started; ``False`` when it was too late."""
    return run(client, jobs.cancel(job))


async def acancel(client: AsyncHttpClient, settings: Settings, job: Job) -> bool:
    """See ``cancel``; what the job held of its account is given back."""
    async with JobEnd(settings, job) as end:
        end.cancelled = cancelled = await arun(client, jobs.cancel(job))
    return cancelled


def _waiting(settings: Settings, job: Job, *, interval: float, timeout: float) -> Flow[Generation]:
    _check_place(settings, job)
    return jobs.wait(
        job,
        gateway=settings.gateway,
        base_url=settings.endpoint.base_url,
        conduct=conduct(),
        interval=interval,
        timeout=timeout,
    )


def _check_place(settings: Settings, job: Job) -> None:
    """Refuse to ask one gateway for the job of another: it would call it unknown."""
    there, here = (job.gateway, job.host), (settings.gateway.name, settings.endpoint.base_url)
    if job.gateway == here[0] and job.host in (None, here[1]):
        return
    was, now = (" at ".join(filter(None, place)) for place in (there, here))
    # The job goes on there, so its record stays: what leads back to it brings its images.
    raise OutcomeUnknown(
        f"The job was submitted to {was}, and the connection leads to {now}",
        job_id=job.id,
        request_id=job.request_id,
        advice="Let the connection lead there again to have its images.",
    )


def _adopted(generation: Generation, job: Job) -> Generation:
    """Say of images that their job was found, where their request was never answered."""
    if not job.adopted:
        return generation
    images = (image.model_copy(update={"adopted_job": job.id}) for image in generation.images)
    return generation.model_copy(update={"images": tuple(images)})


@contextmanager
def _shown(settings: Settings, job: Job) -> Iterator[None]:
    """Say why a job is not found: the vendor shows it only to the region, workspace and key that submitted it."""
    try:
        yield
    except QwenImageError as error:
        lost = isinstance(error, JobFailed) and error.may_be_billed
        hidden = lost or (isinstance(error, PermanentRefusal) and error.status in (401, 403, 404))
        if not hidden or job.account in (None, settings.endpoint.account):
            raise
        raise OutcomeUnknown(
            f"The job was submitted with another key than that of {settings.named}, and is not shown to this one",
            advice="Let the connection have the key it had, of the same region and workspace; jobs are kept for 24 h.",
            status=error.status,
            code=error.code,
            request_id=job.request_id,
            job_id=job.id,
        ) from error
