"""Every reply file is read as the tables say: images, failures, captions and usage, or the error."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from airflow_provider_qwenimage.exceptions import (
    ContentRefused,
    OutcomeUnknown,
    PermanentRefusal,
    TemporaryRefusal,
    UnexpectedReply,
    restore,
)
from airflow_provider_qwenimage.wire.items import Found, Missing
from wire.reading import BASE, FOLDER, reaped, refusal

A, B = (f"https://img.example.com/{name}.png" for name in "ab")
PNG, JPEG = b"\x89PNG", b"\xff\xd8\xff"
SIGNED = (
    "https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com/7d/{}.png"
    "?Expires=1763784000&OSSAccessKeyId=LTAI5tExample&Signature=aGVsbG8gd29ybGQ%3D"
)


def oss(*names: str) -> list[str]:
    return [SIGNED.format(name) for name in names]


def usage(
    images: int | None = None, tokens: tuple[int | None, int | None, int | None] = (None, None, None)
) -> Any:
    return (images, *tokens)


# file -> what it is read as; images as URLs or as the first bytes, failures as codes, in the order of the reply
READ: dict[str, dict[str, Any]] = {
    "applerouter/200_example.json": {
        "images": ["https://example.com/qwen-image.png"],
        "revised": ["Enhanced prompt used for generation..."],
    },
    "onetoken/200_example.json": {"images": ["https://example.com/qwen_output_image.png"]},
    "tokenhot/200_qwen_example.json": {
        "images": ["https://api-results.example.com/outputs/plus_generated_artwork.png"],
        "usage": usage(None, (150, 1850, 2000)),
        "request_id": "req_qwen_plus_e359bc8d_f9911e9aac07",
    },
    "tokenhot/200_wan_link_as_text.json": {
        "images": [f"https://api-results.example.com/outputs/wan-{n}.png" for n in (1, 2)],
        "texts": ("First the seed sprouts.", "Then it blooms."),
        "usage": usage(None, (500, 1000, 1500)),
        "request_id": "req_uuid_123457",
    },
    "tokenhot/200_several_messages.json": {
        "images": [f"https://api-results.example.com/outputs/{name}.png" for name in "ab"],
        "usage": usage(None, (None, None, 4000)),
        "request_id": "req_two",
    },
    "tokenhot/200_base64_as_text.json": {"images": [PNG], "request_id": "req_b64"},
    "tokenhub/200_example.json": {
        "images": ["https://dashscope-xxxx.oss-accelerate.aliyuncs.com/...png"],
        "usage": usage(1, (0, 0, 0)),
        "size": "1280*1280",
        "request_id": "815505c6-7c3d-49d7-b197-xxxxx",
    },
    "engines/200_b64_nulls.json": {"images": [PNG]},
    "engines/200_b64_jpeg.json": {"images": [JPEG]},
    "engines/200_b64_wrapped.json": {"images": [PNG]},
    "engines/200_b64_unpadded_wrapped.json": {"images": [PNG]},
    "engines/200_byte_order_mark.json": {"images": ["https://img.example.com/a.png"]},
    "engines/200_data_url.json": {"images": [PNG]},
    "engines/200_relative_url.json": {"images": [f"{BASE}/v1/images/img_123/content"]},
    "engines/200_relative_url_variants.json": {
        "images": [f"{BASE}/v1/images/a1b2c3/content?variant={number}" for number in range(2)],
        "revised": ["a mug", "a mug"],
    },
    "engines/200_server_path_and_b64.json": {"images": [PNG]},
    "engines/200_edit_with_size.json": {"images": [PNG], "size": "1024*768"},
    "engines/200_duplicate.json": {
        "images": ["https://img.example.com/a.png", "https://img.example.com/b.png"]
    },
    "engines/200_file.png": {"images": [PNG]},
    "engines/200_images.zip": {
        "images": [PNG, JPEG],
        "failures": [(2, "not_an_image", "not an image: notes.txt")],
    },
    "engines/200_urls_in_a_list.json": {"images": [A, B], "revised": ["a red fox", "a red fox"]},
    "dmxapi/200_extra_output.json": {
        "images": oss("one"),
        "usage": usage(1),
        "size": "1664*928",
        "request_id": "dmx-1",
    },
    "sse/200_openai_completed.txt": {
        "images": [PNG],
        "usage": usage(None, (50, 50, 100)),
        "size": "1024*1024",
    },
    "sse/200_repeated_token.txt": {"images": [A], "texts": ("11月的森林",), "request_id": "sse-6"},
    "wrapped/200_nested.json": {
        "images": ["https://img.example.com/w1.png"],
        "revised": ["a red fox"],
        "usage": usage(1),
        "request_id": "nebula-1",
    },
    "new-api/200_metadata_escaped.json": {
        "images": oss("one"),
        "usage": usage(1),
        "size": "1328*1328",
        "request_id": "up-1",
    },
    "new-api/200_lost_images.json": {
        "images": oss("one", "two", "three"),
        "usage": usage(3),
        "size": "2048*2048",
        "request_id": "up-2",
    },
    "new-api/200_lost_captions.json": {
        "images": oss("one", "two"),
        "revised": [None, "Step two"],
        "texts": ("Step one", "Step two"),
        "usage": usage(2),
        "request_id": "up-3",
    },
    "new-api/200_caption_in_a_choice_of_its_own.json": {
        "images": oss("one", "two"),
        "texts": ("Two views",),
        "usage": usage(2),
        "request_id": "up-8",
    },
    "new-api/200_failed_item.json": {
        "images": oss("one"),
        "revised": ["a red fox"],
        "failures": [(1, "DataInspectionFailed", "Output data may contain inappropriate content.")],
        "usage": usage(1),
        "request_id": "up-4",
    },
    "new-api/200_failed_item_skipped.json": {
        "images": oss("one", "two"),
        "usage": usage(2),
        "request_id": "up-5",
    },
    "new-api/200_rehosted.json": {
        "images": ["https://cdn.gw.example/1.png", "https://cdn.gw.example/2.png"],
        "usage": usage(2),
        "request_id": "up-7",
    },
    "dashscope/200_qwen_plus.json": {
        "images": oss("one"),
        "usage": usage(1),
        "size": "1664*928",
        "request_id": "ds-1",
    },
    "dashscope/200_many_in_one_choice.json": {
        "images": oss("one", "two", "three", "four"),
        "usage": usage(4, (118, 4, 122)),
        "size": "2048*2048",
        "request_id": "ds-2",
    },
    "dashscope/200_one_per_choice.json": {
        "images": oss("one", "two"),
        "usage": usage(2),
        "size": "2048*2048",
        "request_id": "ds-3",
    },
    "dashscope/200_qwen3.json": {
        "images": oss("one"),
        "usage": usage(1),
        "size": "2048*1152",
        "request_id": "ds-4",
    },
    "dashscope/200_z_image.json": {
        "images": oss("one"),
        "texts": ("a red fox in tall grass",),
        "usage": usage(1),
        "size": "1024*1536",
        "request_id": "ds-5",
    },
    "dashscope/200_base64_in_content.json": {"images": [PNG], "usage": usage(1), "request_id": "ds-6"},
    "dashscope/200_image_object.json": {"images": oss("one"), "usage": usage(1), "request_id": "ds-7"},
    "dashscope/200_interleave.json": {
        "images": oss("one", "two"),
        "texts": ("Wash the leaves.", "Pour the water."),
        "usage": usage(2),
        "size": "1280*1280",
        "request_id": "ds-8",
    },
    "sse/200_incremental.txt": {
        "images": oss("one", "two"),
        "texts": ("Wash the leaves.", "Pour the water."),
        "usage": usage(2),
        "size": "1280*1280",
        "request_id": "sse-1",
    },
    "sse/200_cumulative.txt": {
        "images": oss("one", "two"),
        "texts": ("Wash the leaves.", "Pour the water."),
        "usage": usage(2),
        "request_id": "sse-1",
    },
    "sse/200_heartbeats_crlf.txt": {
        "images": oss("one"),
        "texts": ("Wash the leaves.",),
        "usage": usage(1),
        "request_id": "sse-1",
    },
    "sse/200_caption_with_line_separator.txt": {
        "images": oss("one"),
        "texts": ("Wash\u2028the leaves.",),
        "usage": usage(1),
        "request_id": "sse-1",
    },
    "sse/200_error_after_image.txt": {
        "images": oss("one"),
        "failures": [(1, "InternalError", "An internal error has occured")],
        "request_id": "sse-2",
    },
    "sse/200_messages_one_image_each.txt": {"images": [A, B], "request_id": "sse-5"},
    "sse/200_messages_links_and_captions.txt": {
        "images": [A, B],
        "texts": ("Wash it.", "Pour it."),
        "request_id": "sse-5",
    },
    "sse/200_messages_cumulative.txt": {"images": [A, B], "request_id": "sse-5"},
    "sse/200_messages_error_after_image.txt": {
        "images": [A],
        "failures": [(1, "InternalError", "An internal error has occured")],
        "request_id": "sse-5",
    },
    "sse/200_data_one_image_each.txt": {"images": [A, B]},
    "sse/200_data_cumulative.txt": {"images": [A, B], "revised": ["a red fox", None]},
    "sse/200_data_error_after_image.txt": {
        "images": [A],
        "failures": [(1, "InternalError", "An internal error has occured")],
    },
    "sse/200_results_one_image_each.txt": {"images": [A, B]},
    "wrapped/200_one_object.json": {"images": [A], "revised": ["a red fox"]},
    "wrapped/200_bare_url.json": {"images": [A]},
    "wrapped/200_images.json": {"images": [A, B]},
    "engines/200_relative_path.json": {
        "images": [f"{BASE}/images/xyz.png", f"{BASE}/v1/images/42/content"],
        "failures": [
            (2, "not_an_image", "not an image: n/a"),
            (3, "not_an_image", "not an image: see the log"),
        ],
    },
    "compatible-mode/200_usage_as_text.json": {
        "images": [A],
        "usage": usage(1, (150, 1850, 2000)),
        "size": "1328*1328",
    },
    "jobs/200_succeeded_partly.json": {
        "images": oss("one"),
        "revised": ["a red fox"],
        "failures": [(1, "InternalError.Timeout", "An internal timeout error has occured.")],
        "usage": usage(1),
        "request_id": "job-r",
    },
    "jobs/200_translated.json": {
        "images": [
            oss("a")[0].replace(".png", ".jpg"),
        ],
        "usage": usage(1),
        "request_id": "5fec62eb-bf94-91f8-b9f4-f7f758e4e27e",
    },
    "jobs/200_translated_without_text.json": {
        "images": ["https://img.example.com/a.jpg"],
        "texts": ("No text detected for translation",),
        "usage": usage(1),
        "request_id": "5fec62eb-bf94-91f8-b9f4-f7f758e4e27e",
    },
    "jobs/200_succeeded_choices.json": {
        "images": oss("one"),
        "usage": usage(1),
        "size": "1280*1280",
        "request_id": "job-r",
    },
}

# file -> (code, words of the message): a 2xx without an image is never a success, and may have been billed
UNREADABLE: dict[str, tuple[str | None, str]] = {
    "tokenhot/200_wan_example.json": (None, "only the text 'This is a description or image link'"),
    "tokenhot/200_empty.json": (None, "without an image"),
    "engines/200_no_data.json": (None, "without an image"),
    "engines/200_null_data.json": (None, "without an image"),
    "engines/200_server_path.json": ("server_path", "set persist_to"),
    "new-api/200_all_failed.json": ("InternalError.Algo", "error has occurred during algorithm execution"),
    "dashscope/200_empty_choices.json": (None, "without an image"),
    "dashscope/200_some_results_refused.json": ("DataInspectionFailed", "content.; inference failed"),
    "wrapped/200_job.json": (None, "job id task_01"),
    "wrapped/200_ok_without_data.json": (None, "without an image: success"),
    "jobs-elsewhere/200_task_id.json": (None, "job id task-unified-1"),
    "jobs-elsewhere/200_task_info.json": (None, "job id task-mule-1"),
    "jobs-elsewhere/200_dashscope_task.json": (None, "job id t-fork-1"),
    "jobs/200_submitted.json": (None, "job id t-1"),
    "jobs/200_succeeded_empty.json": (None, "job id t-1"),
    "jobs/200_translated_without_image.json": (None, "No text detected for translation"),
    "proxies/200_login.html": (None, "an HTML page"),
    "proxies/200_begins_with_bm.txt": (None, "a body of type unknown"),
    "proxies/200_error_as_url.json": (
        "not_an_image",
        "not an image: http://127.0.0.1 error: upstream timeout",
    ),
    "engines/200_status_as_path.json": ("not_an_image", "not an image: failed/timeout"),
    "engines/200_damaged_base64.json": ("not_an_image", "its base64 is damaged"),
    "tokenhot/200_help_link.json": (None, "only the text 'https://help.example.com/zh"),
    "chat/200_completion.json": (None, "only the text 'I cannot draw.'"),
    "sse/200_openai_partial_only.txt": (None, "without an image"),
    "proxies/200_empty.txt": (None, "an empty body"),
    "proxies/200_truncated.json": (None, "broken or truncated JSON"),
}

ALL_REFUSED = "dashscope/200_all_results_refused.json"  # told by the items, not by the body
AGAIN, LATER = ("again", "later")  # a TemporaryRefusal this call sends again, and one that is left to a retry
MIDWAY = ("sse/200_refused_after_text.txt", "sse/200_openai_refused_midway.txt")  # may be billed all the same
# file -> (error, code, words of the message)
REFUSED: dict[str, tuple[Any, str | None, str]] = {
    "dashscope/400_invalid_parameter.json": (
        PermanentRefusal,
        "InvalidParameter",
        "rejects the request: num_images",
    ),
    "dashscope/400_invalid_parameter_dotted.json": (
        PermanentRefusal,
        "InvalidParameter.NotSupportEnableThinking",
        "rejects the request",
    ),
    "dashscope/400_data_inspection.json": (ContentRefused, "DataInspectionFailed", "refused the content"),
    "dashscope/400_arrearage.json": (PermanentRefusal, "Arrearage", "no money"),
    "dashscope/400_internal_error_download.json": (
        PermanentRefusal,
        "InternalError.Algo.InvalidParameter",
        "rejects the request",
    ),
    "dashscope/400_internal_error.json": (PermanentRefusal, "InternalError.Algo", "rejects the request"),
    "dashscope/400_invalid_file.json": (PermanentRefusal, "InvalidFile.Resolution", "rejects the request"),
    "dashscope/401_invalid_api_key.json": (PermanentRefusal, "InvalidApiKey", "does not accept the key"),
    "dashscope/403_mode.json": (PermanentRefusal, "AccessDenied", "kind of call"),
    "dashscope/403_unpurchased.json": (PermanentRefusal, "AccessDenied.Unpurchased", "denies access"),
    "dashscope/403_free_tier_only.json": (PermanentRefusal, "AllocationQuota.FreeTierOnly", "no money"),
    "dashscope/404_model_not_found.json": (PermanentRefusal, "ModelNotFound", "does not serve this model"),
    "dashscope/429_rate_quota.json": (AGAIN, "Throttling.RateQuota", "throttled"),
    "dashscope/429_burst_rate.json": (AGAIN, "Throttling.BurstRate", "throttled"),
    "dashscope/429_allocation_quota_slow.json": (AGAIN, "Throttling.AllocationQuota", "throttled"),
    "dashscope/429_allocation_quota_free.json": (PermanentRefusal, "Throttling.AllocationQuota", "no money"),
    "dashscope/429_prepaid_overdue.json": (PermanentRefusal, "PrepaidBillOverdue", "no money"),
    "dashscope/429_not_purchased.json": (PermanentRefusal, "CommodityNotPurchased", "no money"),
    "dashscope/500_internal_error.json": (LATER, "InternalError", "failed on its own side"),
    "dashscope/500_internal_error_timeout.json": (
        PermanentRefusal,
        "InternalError.Timeout",
        "gave the job up",
    ),
    "dashscope/500_request_timeout.json": (LATER, "RequestTimeOut", "failed on its own side"),
    "dashscope/500_model_serving_error.json": (AGAIN, "ModelServingError", "is overloaded"),
    "dashscope/503_model_unavailable.json": (AGAIN, "ModelUnavailable", "is overloaded"),
    "dashscope/200_code_beside_empty_output.json": (LATER, "InternalError.Algo", "inference failed"),
    "dashscope/200_failed_in_output.json": (ContentRefused, "DataInspectionFailed", "refused the content"),
    "dashscope/200_failed_beside_output.json": (
        PermanentRefusal,
        "InvalidParameter",
        "size is not supported",
    ),
    "dashscope/200_canceled.json": (LATER, "CANCELED", "failed on its own side"),
    "wrapped/200_refused_with_data.json": (PermanentRefusal, "400", "rejects the request: bad size"),
    "wrapped/200_error_list.json": (OutcomeUnknown, None, "size must be 1328x1328; n must be 1"),
    "dashscope/200_error_body.json": (ContentRefused, "DataInspectionFailed", "HTTP 200"),
    "compatible-mode/400_data_inspection.json": (
        ContentRefused,
        "data_inspection_failed",
        "refused the content",
    ),
    "compatible-mode/401_invalid_api_key.json": (
        PermanentRefusal,
        "invalid_api_key",
        "does not accept the key",
    ),
    "compatible-mode/404_type_only.json": (
        PermanentRefusal,
        "invalid_request_error",
        "does not serve this model",
    ),
    "compatible-mode/429_limit_requests.json": (AGAIN, "limit_requests", "throttled"),
    "compatible-mode/429_insufficient_quota_plan.json": (PermanentRefusal, "insufficient_quota", "no money"),
    "compatible-mode/429_insufficient_quota_slow.json": (AGAIN, "insufficient_quota", "throttled"),
    "dashscope/400_ip_infringement.json": (ContentRefused, "IPInfringementSuspect", "IP infringement"),
    "dashscope/400_faq_rule.json": (ContentRefused, "FaqRuleBlocked", "faq rule"),
    "dashscope/400_custom_rule.json": (ContentRefused, "CustomRoleBlocked", "custom rule"),
    "dashscope/400_image_content.json": (ContentRefused, "InvalidParameter", "green network"),
    "dashscope/400_inspection_download.json": (
        PermanentRefusal,
        "InvalidParameter.DataInspection",
        "rejects the request: Unable to download",
    ),
    "dashscope/400_inspection_not_found.json": (
        PermanentRefusal,
        "DataInspectionFailed",
        "rejects the request: Failed to find",
    ),
    "new-api/400_only_sentence_green_net.json": (
        ContentRefused,
        "bad_response_status_code",
        "Green net check failed",
    ),
    "new-api/400_only_sentence_ip.json": (ContentRefused, "bad_response_status_code", "IP infringement"),
    "new-api/400_only_sentence_inspection_download.json": (
        PermanentRefusal,
        "bad_response_status_code",
        "rejects the request: Unable to download",
    ),
    "new-api/400_prompt_blocked.json": (ContentRefused, "prompt_blocked", "refused the content"),
    "new-api/200_openai_error.json": (OutcomeUnknown, "ali_error", "openai_error"),
    "litellm/200_unparsed_reply.json": (OutcomeUnknown, "200", "Failed to parse DashScope"),
    "litellm/400_response_format.json": (PermanentRefusal, "400", "Setting `response_format`"),
    "new-api/200_ali_error.json": (LATER, "InternalError.Algo", "HTTP 200"),
    "new-api/200_ali_error_timeout.json": (PermanentRefusal, "InternalError.Timeout", "gave the job up"),
    "new-api/200_success_false.json": (PermanentRefusal, None, "does not accept the key: 无权进行此操作"),
    "new-api/401_invalid_token.json": (PermanentRefusal, "new_api_error", "does not accept the key"),
    "new-api/403_insufficient_user_quota.json": (PermanentRefusal, "insufficient_user_quota", "no money"),
    "new-api/403_pre_consume.json": (PermanentRefusal, "pre_consume_token_quota_failed", "no money"),
    "new-api/403_ip_not_allowed.json": (PermanentRefusal, "access_denied", "denies access"),
    "new-api/404_invalid_url.json": (PermanentRefusal, "invalid_request_error", "host and gateway"),
    "new-api/413_too_large.json": (PermanentRefusal, "request_body_too_large", "rejects the request"),
    "new-api/400_only_sentence_moderation.json": (
        ContentRefused,
        "bad_response_status_code",
        "refused the content",
    ),
    "new-api/400_only_sentence_arrearage.json": (PermanentRefusal, "bad_response_status_code", "no money"),
    "new-api/400_only_sentence_download.json": (
        PermanentRefusal,
        "bad_response_status_code",
        "rejects the request",
    ),
    "new-api/500_only_sentence_download.json": (
        PermanentRefusal,
        "bad_response_status_code",
        "rejects the request",
    ),
    "new-api/403_only_sentence_mode.json": (PermanentRefusal, "bad_response_status_code", "kind of call"),
    "new-api/403_only_sentence_free_tier.json": (PermanentRefusal, "bad_response_status_code", "no money"),
    "new-api/429_only_sentence_rate.json": (AGAIN, "bad_response_status_code", "throttled"),
    "new-api/429_only_sentence_free_quota.json": (PermanentRefusal, "bad_response_status_code", "no money"),
    "new-api/500_only_sentence_rate.json": (AGAIN, "bad_response_status_code", "throttled"),
    "new-api/500_only_sentence_internal.json": (LATER, "bad_response_status_code", "failed on its own side"),
    "new-api/500_invalid_request.json": (PermanentRefusal, "invalid_request", "rejects the request"),
    "new-api/500_convert_request_failed.json": (
        PermanentRefusal,
        "convert_request_failed",
        "rejects the request",
    ),
    "new-api/500_model_price_error.json": (
        PermanentRefusal,
        "model_price_error",
        "does not serve this model",
    ),
    "new-api/500_bad_response_timeout.json": (OutcomeUnknown, "bad_response", "aliAsyncTaskWait timeout"),
    "new-api/500_bad_response_moderation.json": (ContentRefused, "bad_response", "refused the content"),
    "new-api/501_not_implemented.json": (PermanentRefusal, "api_not_implemented", "kind of call"),
    "new-api/503_model_not_found.json": (PermanentRefusal, "model_not_found", "does not serve this model"),
    "new-api/503_overloaded.json": (AGAIN, "system_cpu_overloaded", "is overloaded"),
    "one-api/400_prompt_missing.json": (PermanentRefusal, "prompt_missing", "rejects the request"),
    "one-api/500_async_task_failed.json": (OutcomeUnknown, "ali_async_task_failed", "did not say"),
    "one-api/400_upstream_saturated.json": (AGAIN, "upstream_error", "is overloaded"),
    "engines/400_detail.json": (PermanentRefusal, None, "Expected WIDTHxHEIGHT"),
    "engines/422_detail_list.json": (
        PermanentRefusal,
        None,
        "body.n: Input should be less than or equal to 10; body",
    ),
    "engines/503_detail.json": (OutcomeUnknown, None, "Diffusion engine not initialized"),
    "engines/401_message.json": (
        PermanentRefusal,
        None,
        "does not accept the key: No API key found in request",
    ),
    "wrapped/200_refused.json": (PermanentRefusal, "401", "does not accept the key"),
    "wrapped/200_throttled.json": (AGAIN, "429", "throttled"),
    "sse/200_error_event.txt": (PermanentRefusal, "InvalidParameter", "n must be 1"),
    "sse/200_error_after_text.txt": (OutcomeUnknown, "Throttling.RateQuota", "did not say"),
    "sse/200_refused_after_text.txt": (ContentRefused, "DataInspectionFailed", "refused the content"),
    "sse/200_openai_refused_midway.txt": (
        ContentRefused,
        "content_policy_violation",
        "refused the content",
    ),
    "jobs/400_too_late_to_cancel.json": (PermanentRefusal, "UnsupportedOperation", "PENDING"),
    "proxies/502_bad_gateway.html": (OutcomeUnknown, None, "an HTML page"),
    "proxies/504_timeout.html": (OutcomeUnknown, None, "an HTML page"),
    "proxies/524_timeout.html": (OutcomeUnknown, None, "an HTML page"),
    "proxies/429_empty.txt": (AGAIN, None, "an empty body"),
    "proxies/503_empty.txt": (OutcomeUnknown, None, "an empty body"),
    "proxies/308_moved.txt": (PermanentRefusal, None, "a redirect to nowhere"),
}


@pytest.mark.parametrize("name", READ)
def test_a_reply_with_images_is_read_whole(name):
    expected = READ[name]
    found = reaped(name)
    images = [slot for slot in found.slots if isinstance(slot, Found)]

    assert [
        image.url or (image.data or b"")[: len(want)]
        for image, want in zip(images, expected["images"], strict=True)
    ] == expected["images"]
    assert [image.revised_prompt for image in images] == expected.get("revised", [None] * len(images))
    failures = [
        (i, slot.code, slot.reason) for i, slot in enumerate(found.slots) if isinstance(slot, Missing)
    ]
    assert failures == expected.get("failures", [])
    assert found.texts == expected.get("texts", ())
    used = found.usage
    seen = (used.image_count, used.input_tokens, used.output_tokens, used.total_tokens)
    assert seen == expected.get("usage", usage())
    assert found.size == expected.get("size")
    assert found.request_id == expected.get("request_id")


def test_what_the_gateway_bills_is_read():
    used = reaped("dashscope/200_qwen3.json").usage
    assert (used.output_image_type, used.input_image_count) == ("qima_output_2k", 0)


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_reply_without_an_image_is_no_success(name):
    code, words = UNREADABLE[name]
    with pytest.raises(UnexpectedReply) as raised:
        reaped(name)

    error = raised.value
    assert words in str(error)
    assert (error.code, error.status, error.billing) == (code, 200, "maybe")


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_told_by_its_body_before_its_status(name):
    kind, code, words = REFUSED[name]
    error = refusal(name)

    assert type(error) is (TemporaryRefusal if kind in (AGAIN, LATER) else kind)
    assert words in str(error)
    assert (error.code, error.status) == (code, int(name.partition("/")[2][:3]))
    if isinstance(error, TemporaryRefusal):
        assert error.resend is (kind == AGAIN)
    unsure = kind is OutcomeUnknown or name in MIDWAY
    assert error.billing == ("maybe" if unsure else "no")


# What every other request meets too; the rest of what is refused for good is about one request.
OF_THE_ACCOUNT = {
    "dashscope/400_arrearage.json",
    "dashscope/401_invalid_api_key.json",
    "dashscope/403_unpurchased.json",
    "dashscope/403_free_tier_only.json",
    "dashscope/404_model_not_found.json",
    "dashscope/429_allocation_quota_free.json",
    "dashscope/429_prepaid_overdue.json",
    "dashscope/429_not_purchased.json",
    "compatible-mode/401_invalid_api_key.json",
    "compatible-mode/404_type_only.json",
    "compatible-mode/429_insufficient_quota_plan.json",
    "new-api/200_success_false.json",
    "new-api/400_only_sentence_arrearage.json",
    "new-api/401_invalid_token.json",
    "new-api/403_insufficient_user_quota.json",
    "new-api/403_pre_consume.json",
    "new-api/403_ip_not_allowed.json",
    "new-api/403_only_sentence_free_tier.json",
    "new-api/404_invalid_url.json",
    "new-api/429_only_sentence_free_quota.json",
    "new-api/500_model_price_error.json",
    "new-api/503_model_not_found.json",
    "engines/401_message.json",
    "wrapped/200_refused.json",
}


def test_a_refusal_of_key_money_or_model_is_told_from_one_of_the_request():
    found = {name for name in REFUSED if refusal(name).scope == "account"}

    assert found == OF_THE_ACCOUNT
    assert restore(refusal("dashscope/400_arrearage.json").facts()).scope == "account"


def test_a_request_whose_every_item_was_refused_for_good_is_refused():
    with pytest.raises(ContentRefused) as raised:
        reaped(ALL_REFUSED)

    error = raised.value
    assert (error.code, error.status, error.request_id) == ("DataInspectionFailed", 200, "ds-24")
    assert error.billing == "no"
    assert "refused the content: Output data may contain inappropriate content" in str(error)


def test_a_job_that_succeeded_without_an_image_is_not_said_to_be_of_another_product():
    with pytest.raises(UnexpectedReply) as raised:
        reaped("jobs/200_succeeded_empty.json")

    assert "its job is SUCCEEDED" in str(raised.value)
    assert "not known to have jobs" not in str(raised.value)


def test_every_reply_file_is_in_one_of_the_tables_and_in_the_readme():
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.*") if path.name != "README.md"}
    elsewhere = {
        name for name in files if name.startswith("jobs/")
    }  # read by tests of jobs, some of them here too

    tables = [*READ, *UNREADABLE, *REFUSED, ALL_REFUSED]
    assert len(tables) == len(set(tables))
    assert files - elsewhere <= set(tables) <= files
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in files if f"| `{name}` |" not in readme] == []


def test_the_request_id_is_taken_from_body_then_header_then_sentence():
    assert refusal("dashscope/429_rate_quota.json", x_request_id="header").request_id == "ds-e"
    assert (
        refusal("new-api/403_insufficient_user_quota.json", x_oneapi_request_id="header").request_id
        == "header"
    )
    assert refusal("new-api/401_invalid_token.json").request_id == "20261121053512-8b7f"
    assert refusal("proxies/502_bad_gateway.html").request_id is None
    assert reaped("onetoken/200_example.json", x_request_id="header").request_id == "header"


def test_a_redirect_names_where_it_leads_without_its_query():
    error = refusal("proxies/308_moved.txt", location="https://other.example/v1?token=secret")

    assert "https://other.example/v1;" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("Fri, 21 Nov 2025 04:00:30 GMT", 30.0),
        ("Fri, 21 Nov 2025 03:59:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, None),
        ("9" * 15, 604_800.0),
        ("1" * 5_000, None),
        ("\u0661\u0662", None),
        ("Fri, 21 Nov 99999 04:00:30 GMT", None),
        ("Fri, 21 Nov 9999 04:00:30 GMT", 604_800.0),
        ("Mon, 01 Jan 1000 00:00:00 +2359", 0.0),
        ("Fri, 32 Nov 2025 25:61:61 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value, seconds):
    assert refusal("proxies/429_empty.txt", retry_after=value).retry_after == seconds


def test_a_broken_base64_is_a_failed_item_and_not_an_image():
    from airflow_provider_qwenimage.wire.items import locate

    assert isinstance(locate("data:image/png;base64,%%%", BASE), Missing)
    assert isinstance(
        locate(base64.b64encode(b"no image, but long enough to be one" * 9).decode(), BASE), Missing
    )


@pytest.mark.parametrize(
    "text",
    ["N/A", "image/png", "text/plain", "a/b c", "oss://bucket/a.png", "c:/a.png", "none", "a/" + "b" * 200],
)
def test_what_only_looks_like_a_path_is_a_failed_item(text):
    from airflow_provider_qwenimage.wire.items import locate

    assert isinstance(locate(text, BASE), Missing)


def test_a_url_without_a_scheme_gets_that_of_the_gateway():
    from airflow_provider_qwenimage.wire.items import locate

    assert locate("//cdn.example/a.png", BASE) == Found(url="https://cdn.example/a.png")
