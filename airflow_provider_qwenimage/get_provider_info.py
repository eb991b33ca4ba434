"""
What Airflow reads about this provider.

The standard library only: an exception while this module is imported breaks provider discovery for the whole
deployment, and the connection form of Airflow 3.2+ is built from here without importing the hook.
"""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_qwenimage"
_IMAGES = "Qwen Image"
_GUIDES = (
    "generate",
    "edit",
    "sequence",
    "translate",
    "batch",
    "campaign",
    "approval",
    "decorator",
    "agents",
    "testing",
)
_S3 = "Amazon Simple Storage Service (S3)"  # the integration's name in the amazon provider

# In the order of catalog/gateways.toml; a test compares them.
_GATEWAYS = [
    "tokenhot",
    "onetoken",
    "applerouter",
    "tokenhub",
    "dashscope",
    "dashscope-intl",
    "dashscope-us",
    "dashscope-eu",
    "dashscope-jp",
    "dashscope-hk",
    "dashscope-compatible",
    "qwencloud",
    "openai-compatible",
    "xinference",
]


def _field(label: str, description: str, kind: str, **schema: Any) -> dict[str, Any]:
    # "null" makes a field optional in the form.
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


_CONNECTION: dict[str, Any] = {
    "connection-type": "qwenimage",
    "hook-name": "Qwen Image Gateway",
    "hook-class-name": f"{_PACKAGE}.hooks.qwenimage.QwenImageHook",
    "ui-field-behaviour": {
        # The port stays: the Test button of Airflow 3.3.1 and 3.3.2 refuses a connection without one
        # (apache/airflow#73298), and there is no other way to press it.
        "hidden-fields": ["schema", "login"],
        "relabeling": {"host": "Gateway URL", "password": "API Key"},
        "placeholders": {
            "host": "https://gateway.example/prefix, or a DashScope workspace id; empty for the gateway's own URL",
            "port": "443; may stay empty, but the Test button of some Airflow versions needs it",
            "password": "sk-…",
        },
    },
    "conn-fields": {
        "gateway": _field(
            "Gateway",
            "Who serves the models. May stay empty beside a Gateway URL, which then means openai-compatible.",
            "string",
            enum=_GATEWAYS,
        ),
        "model": _field(
            "Default model",
            "Used where an operator names none, such as qwen-image-plus.",
            "string",
        ),
        "request_format": _field(
            "Request format",
            "Overrides the gateway's own: native (input.messages and parameters) or flat (OpenAI style).",
            "string",
            enum=["native", "flat"],
        ),
        "timeout": _field(
            "Read timeout (seconds)",
            "How long to wait for a reply; 600 when empty. Images take up to minutes, and a reply that comes "
            "too late is billed all the same.",
            "number",
            minimum=1,
        ),
        "verify": _field(
            "TLS verification",
            "true (also when empty), false, or the path of a CA bundle.",
            "string",
        ),
        "allow_private_hosts": _field(
            "Allow private image hosts",
            "Fetch images from loopback, private, link-local and metadata addresses too. "
            "For engines in your own network and the simulator only.",
            "boolean",
            default=False,
        ),
        "checks": _field(
            "Checks",
            "strict (also when empty): what the vendor is known to refuse is refused before it is sent. "
            "warn: it is sent all the same, with a warning.",
            "string",
            enum=["strict", "warn"],
        ),
        "price_per_image": _field(
            "Price per image",
            "For costs: by model, a number or tiers, and the currency: "
            '{"qwen-image-plus": 0.2, "qwen-image-3.0-pro": {"1k": 0.25, "2k": 0.5}, "currency": "CNY"}.',
            "object",
        ),
        "limits": _field(
            "Limits of the account",
            "What the key may do, as its contract says: "
            '{"requests_per_minute": 120, "concurrency": 5, "polls_per_second": 20, '
            '"models": {"qwen-image-max": {"requests_per_minute": 2}}}. Empty: what is published, or learnt.',
            "object",
        ),
        "budget": _field(
            "Budget",
            'What may be spent, in the currency of the prices: {"per_day": 100, "per_run": 20}. '
            "Needs prices, and [qwenimage] account_conn_id.",
            "object",
        ),
        "idempotency_header": _field(
            "Idempotency header",
            "The name of the header for idempotency keys, where the gateway takes them (Idempotency-Key): a lost "
            "answer is then asked for again, and billed once. Empty: none is sent.",
            "string",
        ),
    },
}


_CONFIG: dict[str, Any] = {
    "description": "Settings of the Qwen Image provider.",
    "options": {
        "polls_per_second": {
            "description": "How often jobs are asked for, of an account: by all its processes together where "
            "account_conn_id is set, by each process (a triggerer, a batch) where it is not. DashScope answers 20 "
            "requests per second and account. The connection's limits say otherwise for one account.",
            "version_added": "0.1.0",
            "type": "float",
            "example": "10",
            "default": "20",
        },
        "account_conn_id": {
            "description": "The connection of type redis where all workers and triggerers meet: they share the turns, "
            "seats and money of each account. Empty: each process counts for itself.",
            "version_added": "0.2.0",
            "type": "string",
            "example": "redis_default",
            "default": "",
        },
        "longest_wait": {
            "description": "Seconds a task waits on its worker for its turn in the account, before it fails with "
            "nothing sent and Airflow retries it. A deferrable task waits in the triggerer instead.",
            "version_added": "0.2.0",
            "type": "float",
            "example": "3600",
            "default": "900",
        },
        "tc260_producer": {
            "description": "Who answers for the images by China's GB 45438-2025: name or code (for a company the 18 "
            "letters of its unified social credit code). Where set, provenance='label' adds the TC260 mark.",
            "version_added": "0.2.0",
            "type": "string",
            "example": "91330000MA00000000",
            "default": "",
        },
        "c2pa_certificate": {
            "description": "Certificate with which provenance='label' signs images (extra c2pa): the chain in PEM, its "
            "own certificate first, or the path of a file of it.",
            "version_added": "0.2.0",
            "type": "string",
            "example": "/etc/airflow/c2pa.pem",
            "default": "",
        },
        "c2pa_key": {
            "description": "Private key of c2pa_certificate: PEM, or the path of a file of it. Better as c2pa_key_cmd "
            "or c2pa_key_secret.",
            "version_added": "0.2.0",
            "type": "string",
            "sensitive": True,
            "example": "/run/secrets/c2pa.key",
            "default": "",
        },
        "documentation_url": {
            "description": "Where the documentation is that the link Documentation of a task and the last line of a "
            "failed one lead to; a copy of yours, where the network has no other. Empty: no links.",
            "version_added": "0.2.0",
            "type": "string",
            "example": "https://docs.example/qwenimage/",
            "default": "https://airflow-provider-qwenimage.github.io/airflow-provider-qwenimage/latest/",
        },
        "gallery_aws_conn_id": {
            "description": "With which AWS connection the API server shows the images of runs so old that Airflow "
            "no longer knows the connection of their task.",
            "version_added": "0.1.0",
            "type": "string",
            "example": "aws_images",
            "default": "aws_default",
        },
        "thumbnail_processes": {
            "description": "Processes in which one API server makes thumbnails (extra gallery); they are started when "
            "they are needed and end when they are not. 0 shows originals.",
            "version_added": "0.2.0",
            "type": "integer",
            "example": "4",
            "default": "2",
        },
        "thumbnail_cache": {
            "description": "Folder in which the API servers of a machine keep thumbnails; it must be theirs alone. "
            "Empty: one in the folder for temporary files.",
            "version_added": "0.2.0",
            "type": "string",
            "example": "/var/cache/qwenimage",
            "default": "",
        },
        "thumbnail_cache_bytes": {
            "description": "Bytes of thumbnails that are kept; those looked at longest ago make room.",
            "version_added": "0.2.0",
            "type": "integer",
            "example": "1073741824",
            "default": "268435456",
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's name, modules and connection type, as Airflow's provider schema wants them."""
    return {
        "package-name": "airflow-provider-qwenimage",
        "name": "Qwen Image",
        "description": "Images from Qwen-Image and Wan models, through any gateway with them, kept in S3.",
        "integrations": [
            {
                "integration-name": _IMAGES,
                "external-doc-url": "https://www.alibabacloud.com/help/en/model-studio/qwen-image-api",
                "how-to-guide": [f"/docs/{page}.md" for page in _GUIDES],
                "tags": ["ai", "alibaba", "generative-ai"],
            }
        ],
        "connection-types": [_CONNECTION],
        "hooks": [
            {
                "integration-name": _IMAGES,
                "python-modules": [f"{_PACKAGE}.hooks.qwenimage", f"{_PACKAGE}.hooks.agent"],
            }
        ],
        "operators": [
            {
                "integration-name": _IMAGES,
                "python-modules": [
                    f"{_PACKAGE}.operators.qwenimage",
                    f"{_PACKAGE}.operators.batch",
                    f"{_PACKAGE}.operators.campaign",
                    f"{_PACKAGE}.operators.approval",
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": _IMAGES,
                "python-modules": [f"{_PACKAGE}.triggers.qwenimage", f"{_PACKAGE}.triggers.turn"],
            }
        ],
        "transfers": [
            {
                "source-integration-name": _IMAGES,
                "target-integration-name": _S3,
                "how-to-guide": "/docs/transfer.md",
                "python-module": f"{_PACKAGE}.transfers.qwenimage_to_s3",
            }
        ],
        "extra-links": [
            f"{_PACKAGE}.operators.links.ImagesLink",
            f"{_PACKAGE}.operators.links.ManifestLink",
            f"{_PACKAGE}.operators.links.BucketLink",
            f"{_PACKAGE}.operators.links.DocumentationLink",
        ],
        "task-decorators": [
            {
                "name": "qwen_image",
                "class-name": f"{_PACKAGE}.decorators.qwen_image.qwen_image_task",
            }
        ],
        "config": {"qwenimage": _CONFIG},
    }
