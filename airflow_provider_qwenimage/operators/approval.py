"""A person decides: images are chosen by looking at them, and a rejected one may say what to do better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowOptionalProviderFeatureException,
    ParamValidationError,
)

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.hooks.qwenimage import FinalForAirflow
from airflow_provider_qwenimage.models.approval import ALL, ANSWERS, CHOSEN, NONE, Limits, decide
from airflow_provider_qwenimage.operators.links import DocumentationLink, ImagesLink
from airflow_provider_qwenimage.operators.literals import refuse_mistakes
from airflow_provider_qwenimage.redaction import redact

try:
    from airflow.providers.standard.operators.hitl import HITLOperator
except (ImportError, AirflowOptionalProviderFeatureException) as missing:
    raise AirflowOptionalProviderFeatureException(
        "QwenImageApprovalOperator needs HITLOperator: Airflow 3.1 or later, and a version of "
        "apache-airflow-providers-standard that has airflow.providers.standard.operators.hitl"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import Context

    from airflow_provider_qwenimage.models.approval import Decision

_FIXED = {"options": f"is fixed: {', '.join(ANSWERS)}", "multiple": "is fixed: one answer for all images"}


class QwenImageApprovalOperator(HITLOperator):
    """
    Ask a person which stored images are approved, and wait for the answer as Airflow's ``HITLOperator`` does.

    The images are looked at, compared and chosen in the tab *Images* of the task. Returns the approved image objects in
    their order; pushes ``rejected`` (all others, each with its ``comment``), ``revise`` (arguments of an edit for each
    comment), ``candidates`` (what was asked about) and ``approval`` (how it stands). Further arguments are those of
    ``HITLOperator``: ``body``, ``params``, ``notifiers``, ``assigned_users``, ``response_timeout`` and ``defaults``,
    which is ``ALL`` or ``NONE``. An answer outside the limits does not count: the question is asked again.

    :param images: what tasks stored (the key ``stored``), or manifests: the key ``manifest``, or a URI.
    :param subject: the question.
    :param minimum: how many images must be approved.
    :param maximum: how many may be; ``None`` for as many as there are.
    :param aws_conn_id: the connection for manifests, and for the images on the page.
    """

    CHOSEN: ClassVar[str] = CHOSEN
    ALL: ClassVar[str] = ALL
    NONE: ClassVar[str] = NONE

    template_fields: Collection[str] = (
        *HITLOperator.template_fields,
        "images",
        "minimum",
        "maximum",
        "aws_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"images": "json"}
    operator_extra_links = (ImagesLink(), DocumentationLink())
    ui_color = "#f6e7d8"

    def __init__(
        self,
        *,
        images: Any,
        subject: str,
        minimum: int | str = 1,
        maximum: int | str | None = None,
        aws_conn_id: str | None = "aws_default",
        **kwargs: Any,
    ) -> None:
        for name in sorted(_FIXED.keys() & kwargs.keys()):
            raise InvalidRequest(name, _FIXED[name])
        super().__init__(subject=subject, options=list(ANSWERS), **kwargs)
        if self.defaults == [CHOSEN]:
            raise InvalidRequest(
                "defaults", f"must be {ALL!r} or {NONE!r}: nobody chose when nobody answered"
            )
        for name, param in _form().items():
            self.params[name] = param
        self.images = images
        self.minimum = minimum
        self.maximum = maximum
        self.aws_conn_id = aws_conn_id
        if not getattr(self, "_BaseOperator__from_mapped", False):
            from airflow_provider_qwenimage.models.options import ApprovalOptions

            refuse_mistakes(vars(self), ApprovalOptions)

    def execute(self, context: Context) -> Any:
        """Tell what there is to look at, ask, and leave the worker."""
        from airflow_provider_qwenimage.operators.candidates import candidates

        with FinalForAirflow():
            limits = self._limits()
            found = candidates(self.images, aws_conn_id=self.aws_conn_id)
            limits.refuse_few(len(found))
        self._push(context, candidates=found)
        return self._ask(context, limits, count=len(found))

    def _ask(self, context: Context, limits: Limits, *, count: int, refused: str | None = None) -> Any:
        """Put the question; the body that Airflow's own pages show leads to the tab."""
        asked = {"minimum": limits.minimum, "maximum": limits.maximum, "count": count}
        self._push(context, approval={"state": "asked", **asked, "body": self.body, "refused": refused})
        where = ImagesLink().get_link(self, ti_key=context["ti"])  # type: ignore[arg-type]  # it has the same names
        link = f"[Look at the images, compare and choose]({where}) ({count})"
        self.body = "\n\n".join(filter(None, (self.body, link)))
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Go on with the answer; one that does not count is told, and the question stays open."""
        by_timeout = bool(event.get("timedout"))
        if event.get("error_type") == "timeout":
            self._push(context, approval={"state": "unanswered"})
        with FinalForAirflow():
            limits, found = self._limits(), self._asked_about(context)
            try:
                decision = self._decide(found, super().execute_complete(context, event), limits, by_timeout)
            except (ValueError, ParamValidationError, InvalidRequest) as error:
                if by_timeout:  # nobody is there to be asked again
                    raise
                told = error.what if isinstance(error, InvalidRequest) else redact(error, limit=300)
                self.log.warning("The answer does not count, so it is asked again: %s", told)
                return self._ask(context, limits, count=len(found), refused=told)  # type: ignore[no-any-return]
        self._tell(context, decision, event)
        return list(decision.approved)

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        """Raise what ended the wait; a form that cannot be read (told so below Airflow 3.3) is no answer."""
        if event["error_type"] == "validation":
            raise InvalidRequest("answer", redact(event["error"], limit=300))
        super().process_trigger_event_error(event)

    def _limits(self) -> Limits:
        from airflow_provider_qwenimage.models.coercion import build
        from airflow_provider_qwenimage.models.options import ApprovalOptions

        options = build(ApprovalOptions, minimum=self.minimum, maximum=self.maximum)
        return Limits(options.minimum, options.maximum)

    def _asked_about(self, context: Context) -> list[dict[str, Any]]:
        """Return what was shown: what lies in the bucket by now may be something that nobody has seen."""
        instance: Any = context["ti"]
        index = -1 if instance.map_index is None else instance.map_index
        found = instance.xcom_pull(task_ids=self.task_id, key="candidates", map_indexes=index)
        if not found:
            raise InvalidRequest("candidates", "is gone from XCom", advice="Clear the task to ask again.")
        return list(found)

    @staticmethod
    def _decide(found: list[dict[str, Any]], answer: Any, limits: Limits, by_timeout: bool) -> Decision:
        said = answer["params_input"]
        (option,) = answer["chosen_options"]
        decision = decide(found, option, approved=said.get("approved", []), comments=said.get("comments", {}))
        if not by_timeout:  # the author's own default is not held to what people are held to
            limits.hold(len(decision.approved))
        return decision

    def _tell(self, context: Context, decision: Decision, event: dict[str, Any]) -> None:
        self._push(
            context,
            approval={
                "state": "answered",
                "approved": [image["uri"] for image in decision.approved],
                "rejected": [image["uri"] for image in decision.rejected],
                "by": event.get("responded_by_user"),
                "at": event["responded_at"].isoformat(),
                "timed_out": bool(event.get("timedout")),
            },
        )
        if self.do_xcom_push:
            self._push(context, rejected=list(decision.rejected), revise=decision.revise)
        self.log.info(
            "%d of %d images are approved.",
            len(decision.approved),
            len(decision.approved + decision.rejected),
        )

    @staticmethod
    def _push(context: Context, **keys: Any) -> None:
        for key, value in keys.items():
            context["ti"].xcom_push(key=key, value=value)


def _form() -> dict[str, Any]:
    """Return the fields an answer has; Airflow's own form shows them, too."""
    from airflow.sdk import Param

    where = "URIs of images; the tab Images of this task fills it in"
    return {
        "approved": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Approved",
            description=f"{where}, one per line.",
        ),
        "comments": Param(
            {},
            type="object",
            additionalProperties={"type": "string"},
            title="Comments",
            description=f"By the {where}: what is to be done better.",
        ),
    }
