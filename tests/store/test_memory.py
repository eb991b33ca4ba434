"""What a set costs does not grow with its size."""

from __future__ import annotations

import tracemalloc

import pytest

from airflow_provider_qwenimage.models.options import StoreOptions
from airflow_provider_qwenimage.storage.sources import read_sources
from airflow_provider_qwenimage.storage.store import ImageStore
from store.file_server import png

LARGE = 1_500_000


@pytest.fixture
def peak(files, rclone_s3, monkeypatch):
    """Measure the peak of storing ``count`` images of 1.5 MB with four threads."""
    image = png(1, width=850, height=600)
    assert len(image) > LARGE
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", rclone_s3.connection)
    rclone_s3.client().create_bucket(Bucket="memory")

    def measure(count):
        sources = read_sources([files.put(f"/{count}-{number}.png", image) for number in range(count)])
        options = StoreOptions(s3_prefix=f"s3://memory/{count}/", allow_private_hosts=True, max_concurrency=4)
        with ImageStore(options) as store:
            tracemalloc.start()
            try:
                outcome = store.store_all(sources)
                top = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert len(outcome.images) == count
        return top

    return measure


def test_ten_times_the_images_take_no_more_memory(peak):
    peak(4)  # what is imported and cached on first use
    few, many = peak(10), peak(100)
    assert many < few + 2 * LARGE
    assert many < 12 * 4 * LARGE
