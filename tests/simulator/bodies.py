"""Bodies and the places where replies keep their images."""

from __future__ import annotations

import base64
import io

from PIL import Image

MULTIMODAL = "/api/v1/services/aigc/multimodal-generation/generation"
PATHS = {
    "tokenhot": "/v1/images/generations",
    "onetoken": "/v1/images/generations",
    "applerouter": "/v1/images/generations",
    "tokenhub": "/v1/images/generations",
    "newapi": "/v1/images/generations",
    "dashscope": MULTIMODAL,
    "dashscope-intl": MULTIMODAL,
    "dashscope-us": MULTIMODAL,
    "dashscope-eu": MULTIMODAL,
    "dashscope-jp": MULTIMODAL,
    "dashscope-hk": MULTIMODAL,
    "dashscope-compatible": "/compatible-mode/v1/images/generations",
    "qwencloud": "/compatible-mode/v1/images/generations",
    "openai-compatible": "/v1/images/generations",
}
AUTH = {"Authorization": "Bearer demo-key"}


def native(model, text="a red fox in snow", *, images=(), **parameters):
    content = [*({"image": image} for image in images), {"text": text}]
    return {
        "model": model,
        "input": {"messages": [{"role": "user", "content": content}]},
        "parameters": parameters,
    }


def flat(model="Qwen/Qwen-Image", prompt="a red fox in snow", **fields):
    return {"model": model, "prompt": prompt, **fields}


def body_for(gateway, text="a red fox in snow", *, n=1, **parameters):
    """A small legal request in the shape of the gateway."""
    if gateway == "openai-compatible":
        return flat(prompt=text, n=n, size="512x512", response_format="url", **parameters)
    if "compatible-mode" in PATHS.get(gateway, ""):
        return flat("qwen-image-2.0", text, n=n, size="512x512", **parameters)
    return native("qwen-image-2.0", text, n=n, size="512*512", **parameters)


def image_urls(body):
    """Every result URL of a body, once, in order."""
    return list(dict.fromkeys(_urls(body)))


def _urls(body):
    if isinstance(body, str):
        return [body] if body.startswith("http") else []
    values = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return [url for value in values for url in _urls(value)]


def png(colour, size=(400, 400)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(colour, size=(400, 400)):
    return "data:image/png;base64," + base64.b64encode(png(colour, size)).decode()
