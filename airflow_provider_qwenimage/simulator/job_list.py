"""The list of an account's jobs, as the vendor answers it (task management page, 2026-10-12; SDK tests, 2026-07)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.simulator.vendor import Refusal, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_qwenimage.simulator.jobs import Job

_DAY = 24 * 3600
_CHINA = timezone(timedelta(hours=8))
_LARGEST_PAGE = 100


def listed(jobs: list[Job], asked: Mapping[str, str], *, request_id: str, now: float) -> dict[str, Any]:
    """One page of the jobs that fit the filters.

    :param jobs: all of the account, newest first.
    :param asked: `task_id`, `start_time`, `end_time`, `model_name`, `status`, `page_no`, `page_size`.
    :raises RefusedError: a time that is none, or more than 24 hours between the two.
    """
    begin, end = _window(asked, now)
    found = [job for job in jobs if begin <= job.created <= end and _fits(job, asked)]
    page = _positive(asked.get("page_no"), 1)
    size = min(_positive(asked.get("page_size"), 10), _LARGEST_PAGE)
    return {
        "total": len(found),
        "data": [_row(job) for job in found[(page - 1) * size : page * size]],
        "total_page": -(-len(found) // size),
        "page_no": page,
        "request_id": request_id,
        "page_size": size,
    }


def _window(asked: Mapping[str, str], now: float) -> tuple[float, float]:
    """The time asked for: whatever is left out makes it the 24 hours before the end, or after the begin."""
    begin, end = _moment(asked.get("start_time")), _moment(asked.get("end_time"))
    if begin is None:
        end = now if end is None else end
        return end - _DAY, end
    end = begin + _DAY if end is None else end
    if end - begin > _DAY:
        raise _refused("The interval between start_time and end_time must not exceed 24 hours.")
    return begin, end


def _moment(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=_CHINA).timestamp()
    except ValueError:
        raise _refused("start_time and end_time must be in the format yyyyMMddHHmmss.") from None


def _refused(message: str) -> RefusedError:
    return RefusedError(Refusal(400, "InvalidParameter", message))


def _fits(job: Job, asked: Mapping[str, str]) -> bool:
    said = {"task_id": job.id, "model_name": job.model, "status": job.status}
    return all(not asked.get(name) or asked[name] == value for name, value in said.items())


def _row(job: Job) -> dict[str, Any]:
    """What the list tells of a job: times in milliseconds, no prompt."""
    row: dict[str, Any] = {
        "api_key_id": "1",
        "caller_parent_id": "2",
        "caller_uid": "3",
        "gmt_create": _milliseconds(job.created),
        "model_name": job.model,
        "region": "cn-beijing" if job.gateway == "dashscope" else job.gateway,
        "request_id": job.request_id,
        "status": job.status,
        "task_id": job.id,
        "user_api_unique_key": f"apikey:v1:aigc:{job.endpoint.replace('/', ':')}:{job.model}",
    }
    if job.status != "PENDING":
        row["start_time"] = _milliseconds(job.created + job.pending)
    if job.status in ("SUCCEEDED", "FAILED", "CANCELED"):
        row["end_time"] = _milliseconds(job.canceled or job.created + job.seconds)
    return row


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _positive(text: str | None, default: int) -> int:
    return max(1, int(text)) if text and text.isdigit() else default
