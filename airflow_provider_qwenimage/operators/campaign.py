"""A campaign larger than a task: one plan, many batches at once, one manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import TaskGroup

from airflow_provider_qwenimage.operators.announcing import announce, refuse_aliases
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.results import ImageBaseOperator, origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_qwenimage.batch.closing import Closed
    from airflow_provider_qwenimage.batch.planning import CampaignPlan
    from airflow_provider_qwenimage.defaults import ManifestFormat

SHARDS = 4
# What the plan has used up, or says anew for each shard.
_OF_THE_PLAN = (
    "inputs_from",
    "prompt_template",
    "extra_columns",
    "max_images",
    "max_cost",
    "manifest_format",
)
# What Airflow itself is told of every task of the group; all else is of the shards, which do the work.
_OF_EVERY_TASK = ("retries", "retry_delay", "queue", "executor", "executor_config")
_OF_THE_CLOSE = ("qwenimage_conn_id", "aws_conn_id", "manifest_format")


class QwenImageCampaignPlanOperator(QwenImageBatchOperator):
    """
    Check all rows of a campaign and its whole cost, and cut it into shards; sends nothing.

    Returns the arguments of a batch for each shard; pushes ``plan``. Further arguments are those of
    ``QwenImageBatchOperator``.

    :param shards: how many batches share the rows, at most.
    :param partition_by: the label that every row has to have.
    """

    template_fields: Sequence[str] = (*QwenImageBatchOperator.template_fields, "shards", "partition_by")

    def __init__(self, *, shards: int = SHARDS, partition_by: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shards = shards
        self.partition_by = partition_by

    def _execute(self, context: Context) -> list[Any]:
        from airflow_provider_qwenimage.batch.campaign import plan_campaign
        from airflow_provider_qwenimage.models.coercion import build
        from airflow_provider_qwenimage.models.options import CampaignOptions

        own = ("persist_to", "shards", "manifest_format", "partition_by")
        planned = plan_campaign(
            self.requests,
            self._options(),
            build(CampaignOptions, **{name: getattr(self, name) for name in own}),
            defaults=self._defaults(),
            settings=self.hook.settings,
        )
        self.push(context, {"plan": planned.plan.model_dump(mode="json")})
        return planned.batches


class QwenImageCampaignShardOperator(QwenImageBatchOperator):
    """Work through one shard of a campaign as a batch does; one of which nothing came does not end the others."""

    may_be_empty: ClassVar[bool] = True


class QwenImageCampaignCloseOperator(ImageBaseOperator):
    """
    Write the one manifest of a campaign whose shards are complete.

    Returns the ``s3://`` URIs in row order; pushes ``usage``, ``failures`` and ``manifest``; gives each outlet
    ``extra = {"manifest", "count"}``.

    :param persist_to: the campaign's prefix.
    :param plan: the key ``plan`` of the planning task.
    :param shards_task_id: the mapped task whose batches are done.
    :param manifest_format: see ``QwenImageBatchOperator``.
    :param partition_by: see ``qwen_image_campaign``.
    """

    template_fields: Sequence[str] = (
        "persist_to",
        "plan",
        "qwenimage_conn_id",
        "aws_conn_id",
        "manifest_format",
        "partition_by",
    )

    def __init__(
        self,
        *,
        persist_to: str,
        plan: Any,
        shards_task_id: str,
        qwenimage_conn_id: str = "qwenimage_default",
        aws_conn_id: str | None = "aws_default",
        manifest_format: ManifestFormat = "json",
        partition_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.persist_to = persist_to
        self.plan = plan
        self.shards_task_id = shards_task_id
        self.qwenimage_conn_id = qwenimage_conn_id
        self.aws_conn_id = aws_conn_id
        self.manifest_format = manifest_format
        self.partition_by = partition_by
        self.refuse_mistakes()
        refuse_aliases(self.outlets, partition_by=partition_by)

    @classmethod
    def _models(cls) -> tuple[type[BaseModel], ...]:
        from airflow_provider_qwenimage.models.options import CampaignOptions

        return (CampaignOptions,)

    def _execute(self, context: Context) -> list[str]:
        from airflow_provider_qwenimage.batch.closing import close, summed
        from airflow_provider_qwenimage.batch.planning import CampaignPlan
        from airflow_provider_qwenimage.models.coercion import build
        from airflow_provider_qwenimage.models.options import CampaignOptions

        plan = CampaignPlan.model_validate(self.plan)
        own = ("persist_to", "manifest_format", "partition_by")
        options = build(CampaignOptions, **{name: getattr(self, name) for name in own})
        with self.s3:
            closed = close(plan, options, origin=origin_of(context), s3=self.s3)
        indexes = range(len(plan.shards))
        pull = context["ti"].xcom_pull
        usages = pull(task_ids=self.shards_task_id, key="usage", map_indexes=indexes)
        self.push(context, {"usage": summed(usages)})
        failures = pull(task_ids=self.shards_task_id, key="failures", map_indexes=indexes)
        if told := _moved(plan, failures):
            self.push(context, {"failures": told})
        self._announce(context, closed)
        return closed.uris

    def _announce(self, context: Context, closed: Closed) -> None:
        self.log.info("%d images and %d failures in %s", len(closed.uris), closed.failures, closed.manifest)
        self.push(context, {"manifest": {"uri": closed.manifest}})
        told: dict[str, Any] = {"count": len(closed.uris), "labels": closed.labels or {}}
        announce(self, context, closed.manifest, partitions=closed.partitions, **told)


def _moved(plan: CampaignPlan, failures: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the failures of all shards with the positions of the campaign."""
    return [
        {**failure, "request": shard.first + failure["request"]}
        for shard, told in zip(plan.shards, failures, strict=True)
        for failure in told or ()
    ]


class QwenImageCampaign(TaskGroup):
    """The tasks of a campaign: ``plan``, the mapped ``shards``, ``close``."""

    @property
    def output(self) -> Any:
        """What ``close`` returns and pushes: ``campaign.output``, ``campaign.output["manifest"]``."""
        close: Any = self.children[f"{self.group_id}.close"]
        return close.output


def qwen_image_campaign(
    group_id: str,
    *,
    requests: Any,
    persist_to: str,
    shards: int = SHARDS,
    partition_by: str | None = None,
    outlets: Any = None,
    **as_the_batch: Any,
) -> QwenImageCampaign:
    """
    Make a group of tasks that work through more requests than one task should.

    One task checks all rows and the whole cost before anything is sent and cuts them into shards; mapped batch tasks
    work on them, on any executor and any number of workers; one task closes the set: one manifest, one list of URIs in
    row order, one usage, outlets. A retry or a new run pays only for what is missing, also after rows were added.

    :param group_id: the name of the group, which its tasks begin with.
    :param requests: as ``QwenImageBatchOperator`` takes them.
    :param persist_to: ``s3://bucket/prefix/`` for everything; one campaign each, and the same one in each of its runs.
    :param shards: how many batches share the rows, at most; each has the concurrency and the rate of a batch.
    :param partition_by: a label, such as ``market``: outlets get an event for each of its texts, which Dags with a
        ``PartitionedAssetTimetable`` run for (Airflow 3.3). Every row has to have it.
    :param outlets: get ``extra = {"manifest", "count"}`` when the set is complete.
    :param as_the_batch: further arguments of ``QwenImageBatchOperator``; ``max_images`` and ``max_cost`` are of the
        whole campaign.
    """
    everywhere = {name: as_the_batch[name] for name in _OF_EVERY_TASK if name in as_the_batch}
    of_airflow = {name for name in as_the_batch if name not in QwenImageBatchOperator.template_fields}
    own = {name: value for name, value in as_the_batch.items() if name not in of_airflow}
    group = QwenImageCampaign(group_id=group_id)
    with group:
        plan: Any = QwenImageCampaignPlanOperator(
            task_id="plan",
            requests=requests,
            persist_to=persist_to,
            shards=shards,
            partition_by=partition_by,
            **own,
            **everywhere,
        )
        work = {name: value for name, value in as_the_batch.items() if name not in _OF_THE_PLAN}
        batches = QwenImageCampaignShardOperator.partial(task_id="shards", **work).expand_kwargs(plan.output)
        close = QwenImageCampaignCloseOperator(
            task_id="close",
            persist_to=persist_to,
            plan=plan.output["plan"],
            shards_task_id=batches.task_id,
            partition_by=partition_by,
            outlets=outlets or [],
            **{name: own[name] for name in _OF_THE_CLOSE if name in own},
            **everywhere,
        )
        batches >> close
    return group
