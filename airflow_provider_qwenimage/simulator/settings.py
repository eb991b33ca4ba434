"""How the simulator behaves; changed at run time by `POST /_settings`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from airflow_provider_qwenimage.simulator.account import checked
from airflow_provider_qwenimage.simulator.vendor import MODELS, ModelRow, changed


@dataclass
class Settings:
    """Knobs of one simulator.

    :param key: the API key that is accepted.
    :param keys: further ones, each an account of its own.
    :param limits: what each key may do: `{"requests_per_second": 2, "requests_per_minute": 60, "concurrency": 5,
        "polls_per_second": 20, "models": {"qwen-image-max": {"requests_per_minute": 2}}}`.
    :param url_lifetime: seconds a signed result URL lives.
    :param latency: seconds a generation takes before its reply.
    :param job_seconds: seconds from submission of a job to its end.
    :param pending_share: share of `job_seconds` a job stays PENDING (and can be canceled).
    :param hang_seconds: how long the fault `hang` keeps the client waiting.
    :param slow_seconds: how long a slow file takes.
    :param huge_bytes: size of the file of the fault `file_huge`.
    :param given_file: base64 of what the fault `file_given` serves.
    :param image_bytes: pad every PNG to about this many bytes.
    :param image_format: `png` or `jpeg`, what the self-hosted engine draws.
    :param models: names for `GET /v1/models`, also accepted by every gateway without a rule.
    :param poll_limit: polls per second above which a poll is answered 429; None only counts them.
    :param sse_mode: a frame holds what is new (`incremental`), all so far (`cumulative`), or a piece of a
        caption (`chunks`).
    :param rules: model rows that differ from `vendor.toml`: `{"qwen-image-2.0": {"n": [1, 4, 1]}}`.
    :param idempotency_header: a request that names a key in this header is made and billed once for that key.
    :param keep_requests: how many requests `/_state` remembers.
    """

    key: str = "demo-key"
    keys: tuple[str, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    url_lifetime: float = 86400
    latency: float = 0
    job_seconds: float = 2
    pending_share: float = 0.25
    hang_seconds: float = 30
    slow_seconds: float = 2
    huge_bytes: int = 256 * 1024 * 1024
    given_file: str = ""
    image_bytes: int | None = None
    image_format: str = "png"
    models: tuple[str, ...] | None = None
    poll_limit: int | None = None
    sse_mode: str = "incremental"
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    idempotency_header: str | None = None
    keep_requests: int = 1000

    def row(self, model: str) -> ModelRow | None:
        """The rules of a model as they are told to be; None for one the table does not know."""
        return changed(model, self.rules[model]) if model in self.rules else MODELS.get(model)

    def change(self, changes: dict[str, Any]) -> None:
        """Set the named fields.

        :raises ValueError: a name is unknown.
        """
        unknown = sorted(set(changes) - {known.name for known in fields(self)})
        if unknown:
            raise ValueError(f"unknown setting {', '.join(unknown)}")
        for model, row in changes.get("rules", {}).items():
            changed(model, row)
        checked(changes.get("limits", {}))
        for name, value in changes.items():
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
