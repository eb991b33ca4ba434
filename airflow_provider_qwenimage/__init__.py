"""Images from Qwen-Image and Wan models in Apache Airflow, paid for once and kept."""

__version__ = "0.1.0"
