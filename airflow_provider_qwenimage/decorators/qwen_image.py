"""``@task.qwen_image``: a function says what to ask for, one request is sent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from airflow.providers.common.compat.sdk import (
    SET_DURING_EXECUTION,
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_qwenimage.operators.base import QwenImageBaseOperator
from airflow_provider_qwenimage.operators.literals import refuse_mistakes
from airflow_provider_qwenimage.operators.qwenimage import (
    QwenImageEditOperator,
    QwenImageGenerateOperator,
    QwenImageSequenceOperator,
    QwenImageTranslateOperator,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import TaskDecorator
    from airflow.sdk import Context

    from airflow_provider_qwenimage.models.requests import Operation


class _Decorated(DecoratedOperator, QwenImageBaseOperator):
    """
    Send the request that a function returns; the arguments of the decorator are its defaults.

    What the function returns is sent as it is: text from elsewhere may hold ``{{``, and must not be rendered.

    :param python_callable: returns the prompt, or a dict of request fields.
    """

    custom_operator_name: str = "@task.qwen_image"
    prompt_is_rendered: ClassVar[bool] = False
    overwrite_rtif_after_execution: bool = True  # the UI shows what the function returned
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **QwenImageBaseOperator.template_fields_renderers,
    }

    def __init__(self, *, python_callable: Callable[..., object], **kwargs: Any) -> None:
        super().__init__(python_callable=python_callable, prompt=SET_DURING_EXECUTION, **kwargs)
        self._written: dict[str, Any] = {}

    @classmethod
    def refuse_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse what was typed and is known to be wrong; a mapped task's constructor runs too late for that."""
        refuse_mistakes(arguments, *cls._models())

    def execute(self, context: Context) -> list[str]:
        """Call the function, then do what the operator does."""
        return QwenImageBaseOperator.execute(self, context)

    def _execute(self, context: Context) -> list[str]:
        context_merge(context, self.op_kwargs)
        arguments = determine_kwargs(self.python_callable, self.op_args, context)
        self._take(_fields(self.python_callable(*self.op_args, **arguments), self.operation))
        return super()._execute(context)

    def execute_complete(
        self, context: Context, event: dict[str, Any], written: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Go on after the trigger with what the function said before it: it is not called again."""
        self._take(written or {})
        return super().execute_complete(context, event)

    def defer(self, *, kwargs: dict[str, Any] | None = None, **options: Any) -> NoReturn:
        """Send what the function said along, for the worker that goes on."""
        super().defer(kwargs={**(kwargs or {}), "written": self._written}, **options)

    def _take(self, written: Mapping[str, Any]) -> None:
        self._written = dict(written)
        for name, value in self._written.items():
            setattr(self, name, value)


class _DecoratedGenerate(_Decorated, QwenImageGenerateOperator):
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *QwenImageGenerateOperator.template_fields,
    )


class _DecoratedEdit(_Decorated, QwenImageEditOperator):
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *QwenImageEditOperator.template_fields,
    )

    def __init__(self, *, images: Any = None, **kwargs: Any) -> None:
        super().__init__(images=images, **kwargs)  # the function may name them


class _DecoratedSequence(_Decorated, QwenImageSequenceOperator):
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *QwenImageSequenceOperator.template_fields,
    )


class _DecoratedTranslate(_Decorated, QwenImageTranslateOperator):
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *QwenImageTranslateOperator.template_fields,
    )

    def __init__(self, *, images: Any = None, target_lang: str = "", **kwargs: Any) -> None:
        super().__init__(images=images, target_lang=target_lang, **kwargs)  # the function may name them


_OPERATORS: dict[Operation, type[_Decorated]] = {
    "generate": _DecoratedGenerate,
    "edit": _DecoratedEdit,
    "sequence": _DecoratedSequence,
    "translate": _DecoratedTranslate,
}


def qwen_image_task(
    python_callable: Callable[..., object] | None = None,
    *,
    operation: Operation = "generate",
    multiple_outputs: bool | None = None,  # noqa: ARG001 - Airflow's signature; the result is a list
    **kwargs: Any,
) -> TaskDecorator:
    """
    Make a task of a function that returns a prompt, or a dict of request fields.

    :param python_callable: the function; omitted where the decorator is called with arguments.
    :param operation: ``generate``, ``edit``, ``sequence`` or ``translate``.
    :param multiple_outputs: taken because Airflow gives it; the result is a list, whatever it says.
    :param kwargs: the arguments of that operator but ``prompt``; what the function returns overrides them.
    :raises ValueError: there is no such operation.
    :raises InvalidRequest: an argument is known to be wrong.
    """
    if operation not in _OPERATORS:
        raise ValueError(f"operation must be one of {', '.join(_OPERATORS)}, got {operation!r}")
    kind = _OPERATORS[operation]
    # Airflow would take multiple_outputs from the function's annotation; a dict is the request, the result is a list.
    decorate = partial(
        task_decorator_factory, multiple_outputs=False, decorated_operator_class=kind, **kwargs
    )

    def checked(function: Callable[..., object]) -> TaskDecorator:
        kind.refuse_arguments({"task_id": getattr(function, "__name__", None), **kwargs})
        return decorate(python_callable=function)

    return cast("TaskDecorator", checked) if python_callable is None else checked(python_callable)


def _fields(returned: object, operation: Operation) -> dict[str, Any]:
    """
    Read what the function returned as request fields.

    :raises InvalidRequest: it is neither a text nor a dict of such fields with a prompt.
    """
    from airflow_provider_qwenimage.exceptions import InvalidRequest
    from airflow_provider_qwenimage.models.requests import KINDS

    if isinstance(returned, str):
        return {"prompt": returned}
    known = KINDS[operation].model_fields
    if not isinstance(returned, dict):
        rule = f"must be a prompt or a dict of request fields, got {type(returned).__name__}"
        advice = "For several prompts, expand the task over them: one request each."
        raise InvalidRequest("return value", rule, advice=advice)
    if unknown := [str(name) for name in returned if name not in known]:
        rule = f"{', '.join(unknown)} is no field of {operation}; known are {', '.join(known)}"
        raise InvalidRequest("return value", rule)
    if "prompt" in returned:
        return returned
    if known["prompt"].is_required():
        raise InvalidRequest("return value", "has no prompt")
    return {**returned, "prompt": None}
