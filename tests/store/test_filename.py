"""Names of objects."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.results import ImageFields
from airflow_provider_qwenimage.storage.objects import Filename

SHA = "0123456789abcdef" * 4
KNOWN = ImageFields(model="alibaba/qwen-image", seed=7, request_id="req: 1/2")


def name(template, fields=KNOWN, **facts):
    return Filename(template).render(
        **{"index": 3, "sha256": SHA, "ext": "png", "fields": fields, "map_index": 2} | facts
    )


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("{index:03d}-{sha8}.{ext}", "003-01234567.png"),
        ("{model}/{seed:05d}_{map_index}-{request_id}.{ext}", "alibaba-qwen-image/00007_2-req-1-2.png"),
        ("hero.{ext}", "hero.png"),
        ("{index}{{x}}.{ext}", "3{x}.png"),
    ],
)
def test_fields_become_names(template, made):
    assert name(template) == made


def test_what_is_not_known_has_a_name_too():
    assert name("{model}-{seed}-{request_id}.{ext}", ImageFields()) == "none-none-none.png"
    assert name("{seed:05d}.{ext}", ImageFields()) == "00000.png"


def test_a_field_cannot_climb_out_of_the_prefix():
    assert name("{model}.{ext}", ImageFields(model="../../etc/passwd")) == "etc-passwd.png"
    assert name("{model}/{index}", ImageFields(model="../..")) == "none/3"


@pytest.mark.parametrize(
    "template",
    [
        "{idx}.{ext}", "{}.{ext}", "{0}.{ext}", "{index.real}.{ext}", "{model[0]}", "{model!r}.{ext}", "{index:x.}",
        "{index:0999999999d}", "{index:{seed}d}", "{model:d}", "{index", "index}", "", "  ", "/{index}", "a//{index}",
        "../{index}", "a/../{index}", "manifest.json", "manifest.partial.json", "a\\{index}", "{index}\n.png", "x" * 1100,
    ],
)  # fmt: skip
def test_a_template_that_cannot_name_objects_is_refused(template):
    with pytest.raises(InvalidRequest) as caught:
        Filename(template).check([ImageFields()])
    assert caught.value.field == "filename"


@pytest.mark.parametrize(
    "template", ["{index}.{ext}", "{sha8}.{ext}", "{seed}.{ext}", "{request_id}-{seed}.{ext}"]
)
def test_a_template_that_tells_images_apart_is_taken(template):
    Filename(template).check([ImageFields(seed=seed, request_id="r") for seed in range(3)])


@pytest.mark.parametrize(
    "template", ["hero.{ext}", "{model}.{ext}", "{seed}.{ext}", "{map_index}.{ext}", "{sha8:.2}"]
)
def test_a_template_that_gives_two_images_one_name_is_refused(template):
    with pytest.raises(InvalidRequest, match="images 0 and 1 the same name"):
        Filename(template).check([ImageFields(seed=5), ImageFields(seed=5)])
    Filename(template).check([ImageFields(seed=5)])


def test_only_a_whole_checksum_tells_the_content():
    assert Filename().tells_content
    assert not Filename("{index}.{ext}").tells_content
    assert not Filename("{index}-{sha8:.2}").tells_content
