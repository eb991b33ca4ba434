"""Defaults that signatures show; here, so that an operator's module needs nothing heavier to be imported."""

from __future__ import annotations

from typing import Literal

CONN_ID = "qwenimage_default"
ACCOUNT_CONN_ID = "[qwenimage] account_conn_id"  # what messages call the option
POLL_INTERVAL = 5.0  # seconds; a job takes 10 to 120 s (A-w26), a poll is free
JOB_TIMEOUT = 3600.0  # seconds; images take 1 to 2 minutes (A-w26), a queue at the vendor may be long
LONGEST_WAIT = 900.0  # seconds a task waits on its worker for its turn in the account
READ_TIMEOUT = 600.0  # seconds; what the vendor advises for several images or under load (2026-11)
# As in pyproject.toml, from where Airflow's page *Providers* takes it.
DOCUMENTATION = "https://airflow-provider-qwenimage.github.io/airflow-provider-qwenimage/latest/"

# How a stored set is laid out unless its author says otherwise.
IfExists = Literal["skip", "replace", "fail"]
OnError = Literal["fail", "partial"]
# What becomes of marks of origin: docs/origin.md.
Provenance = Literal["keep", "require", "label"]
# ``parquet``: as a table, too, beside ``manifest.json``.
ManifestFormat = Literal["json", "parquet"]

FILENAME = "{index:03d}-{sha8}.{ext}"
# Of a batch: the place of an image, which is fixed before the first request, so that a retry writes the same object.
BATCH_FILENAME = "{index:05d}.{ext}"
MANIFEST = "manifest.json"  # its presence means the set is complete
PARTIAL = "manifest.partial.json"  # what is stored of a set that is not
TABLE = "manifest.parquet"  # the same for a warehouse, where it is asked for
PENDING = ".pending/"  # answers that Airflow has not taken yet
# Where images may stay: S3 by its own client, all others as Airflow's object storage knows them (docs/stores.md).
STORES = ("s3://", "gs://", "abfs://", "abfss://", "file://")
MAX_CONCURRENCY = 16  # images under way at once
BATCH_CONCURRENCY = 8  # requests at the gateway at once
MAX_IMAGE_BYTES = 64 * 1024 * 1024
