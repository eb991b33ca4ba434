"""
An agent illustrates a newsletter: it reads the stories, has a picture drawn for each, and they are kept in S3.

Set up, then copy and change:

* the provider ``apache-airflow-providers-common-ai`` and a connection ``pydanticai_default`` to a language model;
* the connection ``qwenimage_default`` (type *Qwen Image Gateway*) with a default model and ``price_per_image``;
* the connection ``aws_default`` (type *Amazon Web Services*), and the bucket, as the Dag parameter ``bucket``.

The agent may ask for two images and spend what ``max_cost`` says, whatever it thinks. It is not retried: nobody can
know whether an agent asks for the same images twice.
"""

from __future__ import annotations

from airflow.providers.common.ai.operators.agent import AgentOperator
from airflow.providers.common.ai.toolsets import HookToolset
from airflow.sdk import Param, dag

from airflow_provider_qwenimage.hooks.agent import QwenImageAgentHook
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

STORIES = ["The town library opens on Sundays again.", "Storks have come back to the old mill."]


@dag(
    schedule=None,
    params={"bucket": Param("newsletter", type="string", title="Bucket", description="Where the images go.")},
    tags=["agent", "qwenimage"],
    doc_md=__doc__,
)
def agent_illustrates() -> None:
    illustrate = AgentOperator(
        task_id="illustrate",
        prompt="Have one picture drawn for each of these stories and answer with their links, in order:\n"
        + "\n".join(f"{number}. {story}" for number, story in enumerate(STORIES, 1)),
        output_type=list[str],
        llm_conn_id="pydanticai_default",
        toolsets=[
            HookToolset(
                QwenImageAgentHook(max_images=len(STORIES), max_cost=1.0),
                allowed_methods=["draw_images"],
                tool_prefix="qwenimage",
            )
        ],
        retries=0,
    )
    QwenImageToS3Operator(
        task_id="store",
        images=illustrate.output,
        s3_prefix="s3://{{ params.bucket }}/illustrations/{{ run_id }}/",
    )


agent_illustrates()
