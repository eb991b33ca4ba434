"""
What monitoring sees: Airflow metrics, attributes on the span Airflow opened for the task, a line in its log.

docs/observability.md lists them all. Prompts, links and keys are in none of them.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_qwenimage.exceptions import QwenImageError
    from airflow_provider_qwenimage.models.manifest import Failure, StoredImage
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation, Job

# The names of OpenTelemetry's conventions for generative AI; what those have no name for is called qwenimage.*.
# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/


def asked(request: Request, *, gateway: str, model: str | None, base_url: str) -> None:
    """
    Describe the request a task is about to send, or to resume.

    :param model: the request's, or the connection's default.
    :param base_url: where the gateway is; its host is told.
    """
    _describe(
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.output.type": "image",
            "gen_ai.provider.name": gateway,
            "gen_ai.request.model": model,
            "gen_ai.request.choice.count": request.n,
            "gen_ai.request.seed": request.seed,
            "server.address": urlsplit(base_url).hostname,
            "qwenimage.operation": request.operation,
        }
    )


def delivered(generation: Generation, *, dag_id: str | None, seconds: float | None = None) -> None:
    """
    Count and describe a request the gateway answered with images; not one that is replayed from the record.

    :param dag_id: whose request it was.
    :param seconds: from sending the request to having its images, where one process saw both.
    """
    count_delivered(generation, dag_id=dag_id, seconds=seconds)
    usage = generation.usage
    _describe(
        {
            "gen_ai.response.model": generation.model,
            "gen_ai.response.id": generation.request_id,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "qwenimage.images": len(generation.images),
            "qwenimage.images_failed": len(generation.failures),
            "qwenimage.job_id": generation.job_id,
            "qwenimage.cost": usage.cost,
            "qwenimage.currency": usage.currency,
        }
    )


def paid(generation: Generation, operation: str, *, seconds: float | None = None) -> str:
    """
    Say in a line what was paid for: operation, model, images, sizes, ids, seconds and cost, as far as known.

    :param seconds: from the request to its images.
    """
    sizes = ", ".join(dict.fromkeys(image.size for image in generation.images if image.size))
    asked = len(generation.images) + len(generation.failures)
    count = f"{len(generation.images)} of {asked} images" if generation.failures else f"n={asked}"
    facts = [
        f"{operation} with {generation.model or 'the default model'} of {generation.gateway}",
        count,
        f"size {sizes}" if sizes else "",
        f"request id {generation.request_id}" if generation.request_id else "",
        f"job {generation.job_id}" if generation.job_id else "",
        f"{seconds:.1f} s" if seconds is not None else "",
        str(generation.usage),
    ]
    return ", ".join(fact for fact in facts if fact)


def count_delivered(generation: Generation, *, dag_id: str | None, seconds: float | None = None) -> None:
    """Count a request as ``delivered`` does; one of many says nothing on the span of their task."""
    tags = {"gateway": generation.gateway, "model": generation.model or "unknown"}
    stats = _stats()
    stats.incr("qwenimage.requests_billed", tags=tags)
    stats.incr("qwenimage.images", len(generation.images), tags=tags)
    if generation.failures:
        stats.incr("qwenimage.images_failed", len(generation.failures), tags=tags)
    if generation.usage.cost:
        whose = {"dag_id": dag_id or "unknown", "currency": generation.usage.currency or "unknown"}
        stats.incr("qwenimage.cost", generation.usage.cost, tags=tags | whose)
    if seconds is not None:
        stats.timing("qwenimage.request_duration", seconds * 1000, tags=tags)


def failed(error: QwenImageError) -> None:
    """Count and describe a request that brought no images: it cost nothing, or nobody knows."""
    count_failed(error, unknown=error.may_be_billed)
    _describe({"error.type": type(error).__name__, "gen_ai.response.id": error.request_id})


def count_failed(error: QwenImageError, *, unknown: bool) -> None:
    """
    Count a request as ``failed`` does; one of many says nothing on the span of their task.

    :param unknown: whether it may have been billed.
    """
    name = "outcomes_unknown" if unknown else "requests_failed"
    _stats().incr(f"qwenimage.{name}", tags={"error": type(error).__name__})


def count_found(job: Job) -> None:
    """Count a lost request whose job was found at the gateway, and adopted."""
    tags = {"gateway": job.gateway, "model": job.asked.model or "unknown"}
    _stats().incr("qwenimage.outcomes_found", tags=tags)


def count_stored(size: int) -> None:
    """Count an image that was written to S3, when it was: a later try finds it there and does not count it again."""
    stats = _stats()
    stats.incr("qwenimage.images_stored")
    stats.incr("qwenimage.bytes_stored", size)


def stored(images: Sequence[StoredImage], failures: Sequence[Failure], *, seconds: float) -> None:
    """
    Describe a set of images that lies in S3 now, and count what of it does not.

    :param seconds: in which images of the set were being stored.
    """
    size = sum(image.bytes for image in images)
    stats = _stats()
    if failures:
        stats.incr("qwenimage.images_not_stored", len(failures))
    stats.timing("qwenimage.store_duration", seconds * 1000)
    _describe({"qwenimage.images_stored": len(images), "qwenimage.bytes_stored": size})


def _stats() -> Any:
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def _describe(attributes: dict[str, Any]) -> None:
    """Put what is known on the current span; without tracing there is one that keeps nothing."""
    try:
        from opentelemetry import trace
    except ImportError:  # comes with Airflow's task SDK from 3.3 on, before that where tracing is wanted
        return
    trace.get_current_span().set_attributes(
        {name: value for name, value in attributes.items() if value is not None}
    )


class Busy:
    """
    Measures for how long at least one of many threads was at work; a context manager for each of them.

    :ivar seconds: until the last of them left.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began, self._inside, self._lock = 0.0, 0, threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._began = time.monotonic()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self.seconds += time.monotonic() - self._began
