"""
One poster, several markets: it is drawn once, its text is translated for each language, its layout stays.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*) with the gateway ``dashscope`` or ``dashscope-intl``
  and its API key: a translation is a job, which resellers do not have;
* the connection ``aws_default`` (type *Amazon Web Services*), which may read and write the bucket;
* the bucket, as the Dag parameter ``bucket``.

Each language is one mapped task and one paid request, so one that fails is retried alone. The glossary keeps names and
slogans as they are meant.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from airflow_provider_qwenimage.operators.qwenimage import (
    QwenImageGenerateOperator,
    QwenImageTranslateOperator,
)


@dag(
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "deferrable": True},
    params={
        "bucket": Param("localised-posters", type="string", title="Bucket"),
        "prompt": Param(
            'A poster for an enamel mug on a rock by a lake. The title says "Made for mornings", '
            'a small line below it "Campfire & Co".',
            type="string",
            title="The poster, with its text",
        ),
        "glossary": Param(
            {"Campfire & Co": "Campfire & Co"}, type="object", title="Texts and their translations"
        ),
    },
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def localised_poster() -> None:
    poster = QwenImageGenerateOperator(
        task_id="draw",
        prompt="{{ params.prompt }}",
        model="qwen-image-plus",
        size="3:4",
        persist_to="s3://{{ params.bucket }}/{{ run_id }}/en/",
    )
    QwenImageTranslateOperator.partial(
        task_id="translate",
        images=poster.output,
        source_lang="en",
        terminologies="{{ params.glossary }}",
        prompt="a poster for outdoor goods; short and friendly",
        persist_to="s3://{{ params.bucket }}/{{ run_id }}/{{ task.target_lang }}/",
        max_active_tis_per_dag=1,  # requests at a time: the vendor's limit is 1 a second, or 1 a minute
        map_index_template="{{ task.target_lang }}",
    ).expand(target_lang=["zh", "ja", "fr", "es"])


localised_poster()
