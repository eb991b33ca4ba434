"""The buttons under *Extra links* of a task instance; a worker works them out when the task ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

from airflow_provider_qwenimage.documentation import address

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

_NOWHERE = ""  # Airflow shows no button for it


class ImagesLink(BaseOperatorLink):
    """The tab with the images of this task instance."""

    name: ClassVar[str] = "Images"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address of the tab."""
        mapped = f"/mapped/{ti_key.map_index}" if _index(ti_key) >= 0 else ""
        run = f"dags/{_part(ti_key.dag_id)}/runs/{_part(ti_key.run_id)}"
        return f"{_base()}{run}/tasks/{_part(ti_key.task_id)}{mapped}/plugin/qwenimage"


class ManifestLink(BaseOperatorLink):
    """The manifest of the set this task instance stored, shown through Airflow."""

    name: ClassVar[str] = "Manifest"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the manifest, nothing where there is none."""
        if _manifest(operator) is None:
            return _NOWHERE
        of = {"dag_id": ti_key.dag_id, "run_id": ti_key.run_id, "task_id": ti_key.task_id}
        return f"{_base()}qwenimage/manifest?{urlencode({**of, 'map_index': _index(ti_key)})}"


class BucketLink(BaseOperatorLink):
    """The folder of the images in the console of Amazon S3; other S3 servers have none."""

    name: ClassVar[str] = "S3 console"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address of the folder, nothing where there is no such console."""
        uri = _manifest(operator)
        if uri is None or not uri.startswith("s3://"):
            return _NOWHERE
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from airflow.providers.amazon.aws.links.base_aws import BaseAwsLink

        hook: Any = S3Hook(aws_conn_id=getattr(operator, "aws_conn_id", None))
        if hook.conn_config.get_service_endpoint_url("s3"):
            return _NOWHERE
        domain = BaseAwsLink.get_aws_domain(hook.conn_partition)
        place = urlsplit(uri)
        prefix = place.path.lstrip("/").rpartition("/")[0]
        query = urlencode({"region": hook.conn_region_name, "prefix": f"{prefix}/" if prefix else ""})
        return f"https://console.{domain}/s3/buckets/{place.netloc}?{query}" if domain else _NOWHERE


class DocumentationLink(BaseOperatorLink):
    """The page of the documentation about this operator."""

    name: ClassVar[str] = "Documentation"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address of the page, nothing where the deployment shows none."""
        # A subclass of an author's is documented where what it extends is.
        return address(
            next(_PAGES[kind.__name__] for kind in type(operator).__mro__ if kind.__name__ in _PAGES)
        )


LINKS = (ImagesLink(), ManifestLink(), BucketLink(), DocumentationLink())
_PAGES = {
    "QwenImageEditOperator": "edit",
    "QwenImageSequenceOperator": "sequence",
    "QwenImageTranslateOperator": "translate",
    "QwenImageBatchOperator": "batch",
    "QwenImageApprovalOperator": "approval",
    "QwenImageToS3Operator": "transfer",
    "QwenImageGenerateOperator": "generate",
    "BaseOperator": "",
}


def _manifest(operator: BaseOperator) -> str | None:
    """Return the URI of the manifest the operator wrote; it is asked in the process it ran in."""
    return getattr(getattr(operator, "outcome", None), "manifest", None)


def _base() -> str:
    """Return the address of Airflow; where it is not set, links are relative to the page they are on."""
    base = str(conf.get("api", "base_url", fallback="") or "")
    return f"{base.rstrip('/')}/" if base.strip("/") else ""


def _index(ti_key: TaskInstanceKey) -> int:
    return -1 if ti_key.map_index is None else ti_key.map_index


def _part(name: str) -> str:
    return quote(name, safe="")
