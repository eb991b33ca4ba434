"""
Product photos on a new scene: every photo of a folder in S3 is placed on one scene and stored again.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*): the gateway and its API key;
* the connection ``aws_default`` (type *Amazon Web Services*), which may read and write the bucket;
* the bucket, as the Dag parameter ``bucket``: photos under ``products/raw/``, the scene ``scenes/table.png``.

Each photo is one mapped task and one paid request, so a photo that fails is retried alone. The prompt counts
the images in the order of the list: *image 1* is the photo, *image 2* the scene.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag, task

from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator


@task
def pairs(bucket: str) -> list[list[str]]:
    """List the photos, each beside the scene."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # dear to import

    keys = S3Hook("aws_default").list_keys(bucket, prefix="products/raw/")
    return [[f"s3://{bucket}/{key}", f"s3://{bucket}/scenes/table.png"] for key in keys if key[-1] != "/"]


@dag(
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "bucket": Param("product-photos", type="string", title="Bucket"),
        "wish": Param(
            "Put the product of image 1 on the table of image 2. Keep its label and colours as they are.",
            type="string",
            title="What to do with each photo",
        ),
    },
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def product_photo_edit() -> None:
    QwenImageEditOperator.partial(
        task_id="stage",
        prompt="{{ params.wish }}",
        model="qwen-image-edit-plus",
        # In the same task, before the links can die. One prefix holds one set of images and its manifest.
        persist_to="s3://{{ params.bucket }}/products/staged/{{ run_id }}/{{ ti.map_index }}/",
        max_active_tis_per_dag=2,  # requests at a time: what the gateway's rate limit bears
        map_index_template="{{ task.images[0].rpartition('/')[2] }}",
    ).expand(images=pairs("{{ params.bucket }}"))


product_photo_edit()
