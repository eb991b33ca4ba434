"""Generate, edit and sequence: one request each, its images as XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.operators.base import QwenImageBaseOperator

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

        return sendable(request, self.hook.settings, aws_conn_id=self.aws_conn_id)  # type: ignore[type-var]


class QwenImageEditOperator(_ImageTakingOperator):
    """
    Edit images: a prompt and 1 to 9 input images; further arguments are those of ``QwenImageBaseOperator``.

    :param images: one or a list of http(s) URL, ``s3://bucket/key``, ``data:`` URL or a path on the worker;
        the prompt counts them in this order ("image 2").
    :param boxes: where to edit: per image a list of ``[x1, y1, x2, y2]`` in its pixels, ``[]`` for none.
    """

    template_fields: Sequence[str] = (*QwenImageBaseOperator.template_fields, "images", "boxes")
    operation = "edit"

    def __init__(self, *, images: Any, boxes: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
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

    def __init__(self, *, n: Any = 4, images: Any = None, **kwargs: Any) -> None:
        super().__init__(n=n, **kwargs)
        self.images = images

    def _deliver(
        self, context: Context, generation: Generation, ledger: Ledger, options: Options
    ) -> list[str]:
        """Say when the series is shorter than asked, then go on as usual."""
        asked, came = self._request().n, len(generation.images) + len(generation.failures)
        if came < asked:
            self.log.warning("The series has %d images of %d asked for; only they are billed.", came, asked)
        return super()._deliver(context, generation, ledger, options)
