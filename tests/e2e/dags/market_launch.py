"""An example Dag in a whole Airflow, which finds the Dags that are made while this file is read."""

from __future__ import annotations

from example_dags import market_launch  # noqa: F401
