"""
The only place that speaks HTTP.

``clients`` opens clients and fetches images, ``exchange`` drives a flow. No other room imports httpx.
"""

from airflow_provider_qwenimage.transport.clients import (
    AsyncHttpClient,
    Endpoint,
    HttpClient,
    Stream,
    StreamBroken,
    image_client,
    open_stream,
)
from airflow_provider_qwenimage.transport.exchange import arun, run

__all__ = [
    "AsyncHttpClient",
    "Endpoint",
    "HttpClient",
    "Stream",
    "StreamBroken",
    "arun",
    "image_client",
    "open_stream",
    "run",
]
