"""
One character through four seasons: a single paid request for four images in order, stored in S3.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*): a gateway with wan2.7, and its API key;
* the connection ``aws_default`` (type *Amazon Web Services*), which may write to the bucket;
* the bucket, as the Dag parameter ``bucket``.

Four separate requests would draw four different cats. A sequence keeps the character the same, and its images
come in the order in which the prompt describes them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

SEASONS = {
    "spring": "the cat walks under blooming cherry blossoms",
    "summer": "the cat rests in the shade on an old street",
    "autumn": "the cat steps on golden fallen leaves",
    "winter": "the cat leaves footprints in the snow",
}


@task.qwen_image(
    operation="sequence",
    model="wan2.7-image-pro",
    n=len(SEASONS),
    size="2K",
    # In the same task, before the links can die. One prefix holds one set of images and its manifest.
    persist_to="s3://{{ params.bucket }}/seasons/{{ run_id }}/",
)
def draw(character: str) -> str:
    """Write the prompt of the series; what is returned is sent as it is."""
    scenes = [f"Image {n} ({name}): {scene}" for n, (name, scene) in enumerate(SEASONS.items(), start=1)]
    return f"A cinematic four-image sequence featuring the same {character}: {'; '.join(scenes)}."


@task
def report(images: Any) -> dict[str, str]:
    """Tell which image shows which season."""
    found = dict(zip(SEASONS, images, strict=False))  # a series may end earlier than asked
    for season, uri in found.items():
        print(f"{season}: {uri}")
    return found


@dag(
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "bucket": Param("seasonal-images", type="string", title="Bucket"),
        "character": Param("stray orange cat with consistent appearance", type="string", title="Character"),
    },
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def seasonal_sequence() -> None:
    report(draw("{{ params.character }}"))


seasonal_sequence()
