"""What a request becomes, what refuses and what warns: cases written out by hand from the vendor's pages."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.catalog import gateway
from airflow_provider_qwenimage.catalog.rules import check
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.requests import EditRequest, GenerateRequest, SequenceRequest

VENDOR, ENGINE = gateway("dashscope"), gateway("openai-compatible")
ONE = ("https://img.example/1.png",)
TWO = (*ONE, "https://img.example/2.png")
PALETTE = [{"hex": "#C2D1E6", "ratio": "25.00%"}, {"hex": "#636574", "ratio": "25.50%"}]
PALETTE_OF_THREE = [*PALETTE, {"hex": "#CBD4E4", "ratio": "49.50%"}]


def generate(model="wan2.7-image", **fields):
    return GenerateRequest(prompt="a paper boat", model=model, **fields)


def edit(model="wan2.7-image", images=ONE, **fields):
    return EditRequest(prompt="a paper boat", model=model, images=images, **fields)


def sequence(model="wan2.7-image", **fields):
    return SequenceRequest(prompt="a paper boat", model=model, **fields)


SEEDS = {
    "tokenhot, qwen": ("tokenhot", generate("qwen-image-plus-2026-01-09", size="1328*1328", seed=100)),
    "tokenhot, wan": ("tokenhot", sequence("wan2.6-image", size="1024*1024", n=1, images=ONE)),
    "onetoken": ("onetoken", generate("wan2.2-t2i-flash", size="960*1390")),
    "applerouter": ("applerouter", generate("qwen-image-plus", size="1328*1328")),
    "tokenhub, curl": ("tokenhub", generate("wan2.6-t2i", size="1280*1280", negative_prompt="")),
    "tokenhub, 4.1": (
        "tokenhub",
        generate("wan2.7-image-pro", size="2K", parameters={"thinking_mode": True}),
    ),
    "tokenhub, 4.2": ("tokenhub", edit("wan2.7-image-pro", TWO, size="2K", parameters={"watermark": False})),
    "tokenhub, 4.3": (
        "tokenhub",
        edit("wan2.7-image-pro", TWO, size="2K", boxes=((), ((989, 515, 1138, 681),))),
    ),
    "tokenhub, 4.4": ("tokenhub", sequence("wan2.7-image-pro", size="2K", n=4)),
}


@pytest.mark.parametrize(("name", "wanted"), SEEDS.values(), ids=SEEDS)
def test_every_example_the_gateways_print_passes_as_it_is(name, wanted):
    checked = check(wanted, gateway=gateway(name))
    assert (checked.request, checked.warnings) == (wanted, ())


@pytest.mark.parametrize(
    ("model", "size", "pixels"),
    [
        ("qwen-image-plus", "16:9", (1664, 928)),
        ("qwen-image-plus", "9:16", (928, 1664)),
        ("qwen-image-plus", "4:3", (1472, 1104)),
        ("alibaba/qwen-image-plus", "32:18", (1664, 928)),
        ("qwen-image-2.0-pro", "16:9", (2688, 1536)),
        ("qwen-image-2.0-pro", "2K", (2048, 2048)),
        ("qwen-image-3.0", "3:2", (2496, 1664)),
        ("wan2.6-t2i", "16:9", (1696, 960)),
        ("wan2.6-t2i", "9:16", (960, 1696)),
        ("wan2.6-t2i", "4:3", (1472, 1104)),
        ("wan2.6-t2i", "3:2", (1728, 1152)),
        ("wan2.7-image", "16:9", (2688, 1536)),
        ("wan2.7-image-pro", "16:9", (2688, 1536)),
        ("wan2.7-image-pro", "4K", (4096, 4096)),
        ("z-image-turbo", "21:9", (1680, 720)),
        ("z-image-turbo", "7:9", (1120, 1440)),
        ("wan2.7-image-pro", "1:8", (720, 5760)),
        ("wan2.2-t2i-flash", "1:1", (1440, 1440)),
        ("wan2.1-t2i-turbo", "16:9", (1280, 720)),
        ("wan2.1-t2i-turbo", "9:16", (720, 1280)),
        ("z-image-turbo", "2:3", (1024, 1536)),
    ],
)
def test_a_ratio_and_a_tier_become_the_models_own_pixels(model, size, pixels):
    checked = check(generate(model, size=size), gateway=VENDOR)
    assert checked.request.size.pixels == pixels
    assert checked.request.model == model
    assert checked.warnings == ()


@pytest.mark.parametrize("size", ["1472*1104", "1104*1472"])
def test_the_four_to_three_of_the_live_list_passes(size):
    assert check(generate("qwen-image", size=size), gateway=VENDOR).warnings == ()


@pytest.mark.parametrize("size", ["1472*1140", "1140*1472"])
def test_the_four_to_three_of_last_years_pages_is_refused_with_the_live_list(size):
    with pytest.raises(
        InvalidRequest,
        match=r"is not one of .* for qwen-image \(source: Alibaba's live service, M-live, 2026-08-04\)",
    ):
        check(generate("qwen-image", size=size), gateway=VENDOR)


def test_a_size_at_the_vendors_bound_passes():
    assert check(generate("wan2.5-t2i-preview", size="768*2700"), gateway=VENDOR).warnings == ()


@pytest.mark.parametrize("model", ["wan2.6-t2i", "wan2.5-t2i-preview"])
@pytest.mark.parametrize("size", ["1696*960", "960*1696", "1472*1104", "1104*1472"])
def test_sizes_the_vendors_guide_and_n8n_recommend_pass_without_a_word(model, size):
    assert check(generate(model, size=size), gateway=VENDOR).warnings == ()


@pytest.mark.parametrize("size", ["1024*1024", "1280*720"])
def test_what_the_live_service_takes_below_the_page_goes_through_with_a_warning(size):
    checked = check(generate("wan2.6-t2i", size=size), gateway=VENDOR)
    assert checked.request.size.text() == size
    assert checked.warnings[0].endswith(
        "but was served all the same for wan2.6-t2i (source: Alibaba's live service, M-live, 2026-10-06)"
    )


MEASURED = {
    "3.0": generate("qwen-image-3.0-pro", size="2560*2560"),
    "an edit of 3.0": edit("qwen-image-3.0", size="10*10"),
    "an edit of 3.0, narrow": edit("qwen-image-3.0", size="4096*10"),
    "wan2.7": generate("wan2.7-image", size="4096*2304"),
    "max": generate("qwen-image-max", size="1664*1664"),
}


@pytest.mark.parametrize("wanted", MEASURED.values(), ids=MEASURED)
def test_what_was_measured_beyond_the_page_goes_through_with_a_warning(wanted):
    checked = check(wanted, gateway=VENDOR)
    assert checked.request == wanted
    assert [warning.partition(":")[0] for warning in checked.warnings] == ["size"]


BEYOND = {
    "max": (
        generate("qwen-image-max", size="1680*1680"),
        r"512\*512 to 1664\*1664 is served .* \(source: Alibaba's live service, M-live, 2026-10-06\)",
    ),
    "3.0": (
        generate("qwen-image-3.0", size="2576*2576"),
        r"512\*512 to 2560\*2560 is served .* \(source: Alibaba's live service, M-live, 2026-10-06\)",
    ),
    "3.0, narrow": (
        generate("qwen-image-3.0", size="6000*700"),
        r"narrower than .* \(source: Alibaba's page A-t2i30, 2026-10-12\)",
    ),
    "edit-plus": (edit("qwen-image-edit-plus", size="400*4096"), "a side outside 512 to 2048"),
    "edit-max": (edit("qwen-image-edit-max", size="2064*2048"), "a side outside 512 to 2048"),
}


@pytest.mark.parametrize(("wanted", "words"), BEYOND.values(), ids=BEYOND)
def test_what_no_source_says_is_served_is_refused_with_its_source(wanted, words):
    with pytest.raises(InvalidRequest, match=words):
        check(wanted, gateway=VENDOR)


def test_a_size_only_newer_pages_allow_warns():
    checked = check(generate("qwen-image-max", size="1024*1024"), gateway=VENDOR)
    assert checked.request.size.pixels == (1024, 1024)
    assert [warning.partition(":")[0] for warning in checked.warnings] == ["size"]


def test_a_size_the_vendor_snaps_warns():
    (warning,) = check(edit("qwen-image-edit-plus", size="1000*1001"), gateway=VENDOR).warnings
    assert warning == (
        "size: 1000*1001 is changed to multiples of 16 for qwen-image-edit-plus "
        "(source: Alibaba's page A-edit, 2026-02-08)"
    )


def test_a_size_that_follows_the_input_is_left_out():
    for size in ("1024*1024", "16:9", "2K"):
        checked = check(edit("qwen-image-edit", size=size), gateway=VENDOR)
        assert checked.request.size is None
        assert "follows the input image" in checked.warnings[0]


def test_only_a_prompt_alone_takes_4k():
    assert check(generate("wan2.7-image-pro", size="4K"), gateway=VENDOR).request.size.pixels == (4096, 4096)
    assert check(generate("wan2.7-image-pro", size="4096*4096"), gateway=VENDOR).warnings == ()
    for wanted in (
        edit("wan2.7-image-pro", size="4K"),
        sequence("wan2.7-image-pro", size="4K"),
        generate("wan2.7-image-pro", size="4K", parameters={"enable_sequential": True}),
    ):
        with pytest.raises(InvalidRequest, match="4K is not a tier here"):
            check(wanted, gateway=VENDOR)


def test_a_refusal_names_the_rule_the_model_and_its_source():
    with pytest.raises(InvalidRequest) as caught:
        check(generate("alibaba/qwen-image-plus", size="1000*1000"), gateway=VENDOR)
    assert str(caught.value) == (
        "size: 1000*1000 is not one of 1664*928, 1472*1104, 1328*1328, 1104*1472, 928*1664 "
        "for qwen-image-plus (source: Alibaba's live service, M-live, 2026-08-04). Nothing was billed."
    )


def refusals():
    flag = {"watermark": "yes"}
    yield (
        "a flag that is a word",
        generate(parameters=flag),
        "parameters.watermark",
        "'yes' is not true or false",
    )
    yield "no such ratio", generate("qwen-image", size="3:2"), "size", "no size has the ratio 3:2"
    yield "too narrow", generate("wan2.6-t2i", size="5:1"), "size", "no size has the ratio 5:1"
    by_hand = generate("qwen-image-2.0", parameters={"size": "4096*4096"})
    yield "a size in parameters", by_hand, "size", "4096*4096 is 16777216 pixels"
    by_hand = generate("qwen-image-2.0", parameters={"size": "16:9"})
    yield "a ratio in parameters", by_hand, "parameters.size", "16:9 is no size"
    thinking = {"enable_thinking": True, "prompt_extend": False}
    yield "thinking", generate("qwen-image-3.0", parameters=thinking), "parameters.enable_thinking", "needs"
    yield (
        "thinking edit",
        edit("qwen-image-3.0", parameters=thinking),
        "parameters.enable_thinking",
        "needs",
    )
    agent = {"prompt_extend_mode": "agent"}
    yield (
        "agent edit",
        edit("qwen-image-3.0", parameters=agent),
        "parameters.prompt_extend_mode",
        "works only in generate",
    )
    mode = {"prompt_extend_mode": "deep"}
    yield (
        "no mode",
        generate("qwen-image-3.0", parameters=mode),
        "parameters.prompt_extend_mode",
        "direct, agent",
    )
    yield "too many maxima", sequence("wan2.6-image", n=6), "n", "6 is outside 1 to 5"
    yield (
        "said twice",
        sequence("wan2.6-image", parameters={"max_images": 2}),
        "parameters.max_images",
        "twice",
    )
    off = {"enable_sequential": False}
    yield "turned off", sequence(parameters=off), "parameters.enable_sequential", "is what makes a sequence"
    by_hand = {"enable_interleave": True, "max_images": 6}
    yield "by hand", generate("wan2.6-image", parameters=by_hand), "parameters.max_images", "from 1 to 5"
    by_hand = {"enable_interleave": True, "max_images": 2}
    yield "by hand, n", generate("wan2.6-image", n=2, parameters=by_hand), "n", "2 is not 1 beside"
    yield "two inputs", sequence("wan2.6-image", images=TWO), "images", "2, is outside 0 to 1"
    yield (
        "one list for two images",
        edit(images=TWO, boxes=(((1, 2, 3, 4),),)),
        "boxes",
        "each of the 2 input",
    )
    yield "three boxes", edit(boxes=(((1, 2, 3, 4),) * 3,)), "boxes", "more than 2 boxes"
    yield "a box inside out", edit(boxes=(((3, 2, 1, 4),),)), "boxes", "x1 < x2"
    yield "boxes for another", edit("qwen-image-2.0", boxes=(((1, 2, 3, 4),),)), "boxes", "are not supported"
    boxes = {"bbox_list": [[[1, 2, 3, "4"]]]}
    yield "a box of words", edit(parameters=boxes), "parameters.bbox_list", "whole pixels"
    short = {"color_palette": PALETTE}
    yield "two colours", generate(parameters=short), "parameters.color_palette", "is not 3 to 10 colours"
    short = {"color_palette": [*PALETTE_OF_THREE, PALETTE[0]]}
    yield "over 100", generate(parameters=short), "parameters.color_palette", "add up to 100.00%"
    short = {"color_palette": [*PALETTE, {"hex": "blue", "ratio": "49.50%"}]}
    yield "no colour", generate(parameters=short), "parameters.color_palette", "a colour unlike"


@pytest.mark.parametrize(
    ("wanted", "field", "words"), [case[1:] for case in refusals()], ids=[c[0] for c in refusals()]
)
def test_what_the_vendor_refuses_is_refused_and_warns_for_an_engine(wanted, field, words):
    with pytest.raises(InvalidRequest) as caught:
        check(wanted, gateway=VENDOR)
    assert caught.value.field == field
    assert words in caught.value.rule
    if wanted.size is None:
        assert any(warning.startswith(f"{field}: ") for warning in check(wanted, gateway=ENGINE).warnings)


def warnings():
    yield "unknown", generate(parameters={"steps": 9}), "parameters.steps: is not known and sent as it is"
    yield "by name", generate(parameters={"prompt_extend": True}), "parameters.prompt_extend: is not known"
    yield (
        "edits do not think",
        edit(parameters={"thinking_mode": True}),
        "parameters.thinking_mode: works only in",
    )
    yield (
        "a series neither",
        sequence(parameters={"thinking_mode": True}),
        "parameters.thinking_mode: works only",
    )
    colours = {"color_palette": PALETTE_OF_THREE}
    yield "no palette in a series", sequence(parameters=colours), "parameters.color_palette: works only in"
    extend = {"prompt_extend": True}
    yield (
        "extend",
        sequence("wan2.6-image", parameters=extend),
        "parameters.prompt_extend: works only in edit",
    )
    by_hand = {"enable_interleave": True}
    yield (
        "by hand",
        generate("wan2.6-image", parameters=by_hand),
        "parameters.max_images: is not given, up to 5",
    )
    yield (
        "tokens",
        generate("qwen-image-2.0").model_copy(update={"prompt": "字" * 1301}),
        "prompt: its 1301 tokens",
    )


@pytest.mark.parametrize(
    ("wanted", "words"), [case[1:] for case in warnings()], ids=[c[0] for c in warnings()]
)
def test_what_the_vendor_changes_without_a_word_warns_once(wanted, words):
    checked = check(wanted, gateway=VENDOR)
    assert checked.request == wanted
    assert len(checked.warnings) == 1
    assert checked.warnings[0].startswith(words)


@pytest.mark.parametrize(
    "wanted",
    [
        generate(parameters={"thinking_mode": False, "color_palette": PALETTE_OF_THREE, "seed": 0}),
        edit(parameters={"thinking_mode": False, "bbox_list": [[[0, 0, 5, 5], [7, 7, 9, 9]]]}),
        generate("qwen-image-3.0", parameters={"enable_thinking": True, "prompt_extend_mode": "agent"}),
        edit("qwen-image-3.0", parameters={"prompt_extend_mode": "direct", "enable_thinking": True}),
        generate("qwen-image-3.0", negative_prompt="x" * 5000),
        generate("wan2.6-image", parameters={"enable_interleave": True, "max_images": 2, "stream": True}),
        generate(n=12, parameters={"enable_sequential": True}),
        generate("qwen-image-2.0", parameters={"size": "1024*1024"}),
        generate("qwen-image-2.0", parameters={"size": "auto"}),
    ],
)
def test_legal_parameters_pass_without_a_word(wanted):
    checked = check(wanted, gateway=VENDOR)
    assert (checked.request, checked.warnings) == (wanted, ())


def test_a_negative_prompt_the_model_has_not_is_left_out_but_not_for_an_engine():
    wanted = generate(negative_prompt="blur")
    checked = check(wanted, gateway=VENDOR)
    assert checked.request.negative_prompt is None
    assert checked.warnings == (
        "negative_prompt: has no effect, there is none for wan2.7-image (source: Alibaba's page A-w27, 2026-10-11)",
    )
    assert check(wanted, gateway=ENGINE).request == wanted


def test_an_unknown_model_passes_with_one_warning():
    wanted = generate("next-image-7", size="3K", n=40, parameters={"anything": object})
    checked = check(wanted, gateway=VENDOR)
    assert (checked.request, checked.model) == (wanted, None)
    assert checked.warnings == (
        "model: 'next-image-7' is not in the catalogue, the request is sent unchecked",
    )


@pytest.mark.parametrize("place", [VENDOR, ENGINE], ids=["vendor", "engine"])
def test_a_ratio_needs_a_row(place):
    with pytest.raises(InvalidRequest, match="16:9 has no pixels known for next-image-7") as caught:
        check(generate("next-image-7", size="16:9"), gateway=place)
    assert "Give pixels" in caught.value.advice


@pytest.mark.parametrize(
    "wanted",
    [generate("qwen-image", size="3:2"), generate("qwen-image-edit", size="3:2")],
    ids=["ratio", "operation"],
)
def test_an_engine_gets_no_ratio_either(wanted):
    with pytest.raises(InvalidRequest, match="3:2 has no pixels"):
        check(wanted, gateway=ENGINE)


WRONG = {
    "a size": generate("qwen-image-2.0", size="4096*4096"),
    "a tier": edit("wan2.7-image-pro", size="9K"),
    "too many": generate("wan2.7-image", n=9),
    "a count": edit("wan2.6-image", images=(*TWO, *TWO, *TWO)),
    "an operation": edit("qwen-image"),
    "a parameter": generate("wan2.7-image", parameters={"watermark": "yes"}),
    "boxes": edit("qwen-image-2.0", boxes=(((1, 2, 3, 4),),)),
    "a size that follows the input": edit("qwen-image-edit", size="1024*1024"),
    "a negative prompt": generate("wan2.7-image", negative_prompt="blur"),
}


@pytest.mark.parametrize("wanted", WRONG.values(), ids=WRONG)
def test_with_checks_warn_all_is_sent_as_it_was_asked_and_said(wanted):
    checked = check(wanted, gateway=VENDOR.model_copy(update={"checks": "warn"}))
    assert checked.request == wanted
    assert len(checked.warnings) == 1


def test_a_request_without_a_model_is_refused():
    with pytest.raises(InvalidRequest, match="model: is not set"):
        check(generate(None), gateway=VENDOR)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (generate("qwen-image", n=2), "(source: Alibaba's page A-t2i, 2026-02-08)"),
        (generate("qwen-image", size="100*100"), "(source: Alibaba's live service, M-live, 2026-08-04)"),
    ],
)
def test_a_refusal_says_in_words_who_says_so(wanted, says):
    with pytest.raises(InvalidRequest) as refused:
        check(wanted, gateway=VENDOR)
    assert says in str(refused.value)


def test_a_warning_names_a_third_party_as_one():
    warnings = check(generate("qwen-image-2.1-pro", n=9), gateway=VENDOR).warnings
    assert any(warning.endswith("(source: third parties, T-public, 2026-11-01)") for warning in warnings)
