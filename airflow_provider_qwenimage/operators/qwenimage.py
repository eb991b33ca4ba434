"""Generate, edit, sequence and translate: one request each, its images as XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.defaults import CONN_ID, JOB_TIMEOUT, POLL_INTERVAL
from airflow_provider_qwenimage.operators.base import QwenImageBaseOperator
from airflow_provider_qwenimage.operators.policy import OUR_POLICY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_qwenimage.defaults import Provenance
    from airflow_provider_qwenimage.models.options import Options
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation
    from airflow_provider_qwenimage.payment.ledger import Ledger


_OF_MADE_IMAGES = ("size", "n", "negative_prompt", "seed")  # what a translation has not


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
        labels: dict[str, str] | None = None,
        qwenimage_conn_id: str = CONN_ID,
        persist_to: str | None = None,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = POLL_INTERVAL,
        job_timeout: float = JOB_TIMEOUT,
        on_unknown_outcome: str = "fail",
        on_partial: str = "warn",
        max_cost: float | None = None,
        provenance: Provenance = "keep",
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
        labels: dict[str, str] | None = None,
        qwenimage_conn_id: str = CONN_ID,
        persist_to: str | None = None,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = POLL_INTERVAL,
        job_timeout: float = JOB_TIMEOUT,
        on_unknown_outcome: str = "fail",
        on_partial: str = "warn",
        max_cost: float | None = None,
        provenance: Provenance = "keep",
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


class QwenImageTranslateOperator(_ImageTakingOperator):
    """
    Translate the text of an image and keep its layout; further arguments are those of ``QwenImageBaseOperator``.

    One image a task: ``.partial(target_lang="ja").expand(images=generate.output)`` translates a set, a batch many.
    An image without text comes back as it is, billed, with a warning and a note among ``texts``.

    :param images: one http(s) URL or ``s3://bucket/key``; the vendor takes links only.
    :param target_lang: a language's code or name (``en``, ``Japanese``).
    :param source_lang: the same, or ``auto``.
    :param terminologies: the glossary: ``{"source": "target"}``, or ``[{"src": …, "tgt": …}]``.
    :param prompt: what the image is about and how its text is to sound, in English; may be omitted.
    :param model: ``qwen-mt-image-2.0`` where omitted.
    :param parameters: the vendor's further options, such as ``{"config": {"imageSegment": True}}``.
    """

    template_fields: Sequence[str] = (
        *(name for name in QwenImageBaseOperator.template_fields if name not in _OF_MADE_IMAGES),
        "images",
        "source_lang",
        "target_lang",
        "terminologies",
    )
    operation = "translate"

    def __init__(
        self,
        *,
        images: Any,
        target_lang: str,
        source_lang: str = "auto",
        terminologies: Any = None,
        prompt: str = "",
        model: str | None = None,
        parameters: dict[str, Any] | None = None,
        labels: dict[str, str] | None = None,
        qwenimage_conn_id: str = CONN_ID,
        persist_to: str | None = None,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = POLL_INTERVAL,
        job_timeout: float = JOB_TIMEOUT,
        on_unknown_outcome: str = "fail",
        on_partial: str = "warn",
        max_cost: float | None = None,
        provenance: Provenance = "keep",
        retry_policy: Any = OUR_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**_passed_on(locals(), "images", "target_lang", "source_lang", "terminologies"))
        self.images = images
        self.target_lang = target_lang
        self.source_lang = source_lang
        self.terminologies = terminologies

    def _deliver(
        self, context: Context, generation: Generation, ledger: Ledger, options: Options
    ) -> list[str]:
        """Say what the vendor notes of the image, then go on as usual."""
        for note in generation.texts:
            self.log.warning("The translation is billed, and the gateway notes: %s", note)
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
