"""A task that is told to end while an image host drips ends, and its threads with it."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from airflow_provider_qwenimage.models.options import StoreOptions
from airflow_provider_qwenimage.storage.sources import read_sources
from airflow_provider_qwenimage.storage.store import ImageStore

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9999999\r\n\r\n\x89PNG\r\n\x1a\n"


class ToldToEnd(BaseException):
    """What Airflow raises into the main thread of a task."""


@pytest.fixture
def dripping():
    """Serve images that never come to an end; yields their URL, an event of the first and one of the last byte."""
    begun, gone = threading.Event(), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(HEAD)
                begun.set()
                while not gone.wait(0.05):
                    connection.sendall(b"x")
            except OSError:  # the other side has left
                gone.set()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/a.png", begun, gone
    gone.set()
    listener.close()


def test_a_store_that_is_told_to_end_ends(dripping, moto_s3, monkeypatch):
    url, begun, gone = dripping
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", moto_s3.connection)
    moto_s3.client().create_bucket(Bucket="ended")
    options = StoreOptions(s3_prefix="s3://ended/here/", allow_private_hosts=True)

    def told(*_):
        raise ToldToEnd

    before = signal.signal(signal.SIGUSR1, told)
    teller = threading.Thread(target=lambda: begun.wait(30) and os.kill(os.getpid(), signal.SIGUSR1))
    teller.start()
    try:
        with pytest.raises(ToldToEnd), ImageStore(options) as store:
            store.store_all(read_sources([url]))
    finally:
        signal.signal(signal.SIGUSR1, before)
        teller.join()
    assert gone.wait(30), "nobody left the dripping host"
    for thread in threading.enumerate():
        if thread.name.startswith("qwenimage-store"):
            thread.join(30)
            assert not thread.is_alive()
