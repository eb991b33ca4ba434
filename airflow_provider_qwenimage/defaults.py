"""Defaults that signatures show; here, so that an operator's module needs nothing heavier to be imported."""

from __future__ import annotations

CONN_ID = "qwenimage_default"
POLL_INTERVAL = 5.0  # seconds; a job takes 10 to 120 s (A-w26), a poll is free
JOB_TIMEOUT = 3600.0  # seconds; images take 1 to 2 minutes (A-w26), a queue at the vendor may be long
READ_TIMEOUT = 300.0  # seconds; gateways wait up to 205 s for the vendor themselves (NA), the SDK 300 s
