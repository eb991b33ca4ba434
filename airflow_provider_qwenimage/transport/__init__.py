"""
The only place that speaks HTTP.

``clients`` opens clients, ``exchange`` drives a flow with one, ``streams`` fetches images. No other room imports
httpx.
"""

from airflow_provider_qwenimage.transport.clients import AsyncHttpClient, Endpoint, HttpClient
from airflow_provider_qwenimage.transport.exchange import arun, run
from airflow_provider_qwenimage.transport.streams import Stream, StreamBroken, image_client, open_stream

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
