"""Generate, edit and sequence: one request each, its images as XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.defaults import CONN_ID, JOB_TIMEOUT, POLL_INTERVAL
from airflow_provider_qwenimage.operators.base import OUR_POLICY, QwenImageBaseOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_qwenimage.models.options import Options
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation
    from airflow_provider_qwenimage.payment.ledger import Ledger


class QwenImageGenerateOperator(QwenImageBaseOperator):
    """Generate images from a prompt; the arguments are those of ``QwenImageBaseOperator``."""

    operation = "generate"


class _ImageTakingOperator(QwenImageBaseOperator):
    """What operators with input images share: references become sendable before the request is spelled."""

    def _ready(self, request: Request) -> Request:
        from airflow_provider_qwenimage.gateway.inputs import sendable

        return sendable(request, self.hook.settings, self.s3)  # type: ignore[type-var]


class QwenImageEditOperator(_ImageTakingOperator):
    """
    Edit images: a prompt and 1 to 9 input images; further arguments are those of ``QwenImageBaseOperator``.

    :param images: one or a list of http(s) URL, ``s3://bucket/key``, ``data:`` URL or a path on the worker;
        the prompt counts them in this order ("image 2").
    :param boxes: where to edit: per image a list of ``[x1, y1, x2, y2]`` in its pixels, ``[]`` for none.
    """

    template_fields: Sequence[str] = (*QwenImageBaseOperator.template_fields, "images", "boxes")
    operation = "edit"

    def __init__(
        self,
        *,
        prompt: str,
        images: Any,
        boxes: Any = None,
        model: str | None = None,
        size: Any = None,
        n: Any = 1,
        negative_prompt: str | None = None,
        seed: Any = None,
        parameters: dict[str, Any] | None = None,
        qwenimage_conn_id: str = CONN_ID,
        persist_to: str | None = None,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = POLL_INTERVAL,
        job_timeout: float = JOB_TIMEOUT,
        on_unknown_outcome: str = "fail",
        on_partial: str = "warn",
        retry_policy: Any = OUR_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**_passed_on(locals(), "images", "boxes"))
        self.images = images
        self.boxes = boxes


class QwenImageSequenceOperator(_ImageTakingOperator):
    """
    Generate an ordered series with a consistent subject from one call; captions are pushed as ``texts``.

    Further arguments are those of ``QwenImageBaseOperator``.

    :param n: how many images the series may have; the model may end it earlier, which is a warning.
    :param images: input images the series starts from, as ``QwenImageEditOperator`` takes them.
    """

    template_fields: Sequence[str] = (*QwenImageBaseOperator.template_fields, "images")
    operation = "sequence"

    def __init__(
        self,
        *,
        prompt: str,
        n: Any = 4,
        images: Any = None,
        model: str | None = None,
        size: Any = None,
        negative_prompt: str | None = None,
        seed: Any = None,
        parameters: dict[str, Any] | None = None,
        qwenimage_conn_id: str = CONN_ID,
        persist_to: str | None = None,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = POLL_INTERVAL,
        job_timeout: float = JOB_TIMEOUT,
        on_unknown_outcome: str = "fail",
        on_partial: str = "warn",
        retry_policy: Any = OUR_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**_passed_on(locals(), "images"))
        self.images = images

    def _deliver(
        self, context: Context, generation: Generation, ledger: Ledger, options: Options
    ) -> list[str]:
        """Say when the series is shorter than asked, then go on as usual."""
        asked, came = self._request().n, len(generation.images) + len(generation.failures)
        if came < asked:
            self.log.warning("The series has %d images of %d asked for; only they are billed.", came, asked)
        return super()._deliver(context, generation, ledger, options)


def _passed_on(given: dict[str, Any], *own: str) -> dict[str, Any]:
    """
    Return the arguments of a constructor that are its base's.

    The constructors name the base's arguments, so that an editor completes them, and hand on whatever they name.

    :param given: the ``locals()`` of the constructor, before it sets any.
    :param own: arguments that the base does not have.
    """
    named = {**given, **given["kwargs"]}
    return {name: value for name, value in named.items() if name not in ("self", "__class__", "kwargs", *own)}
