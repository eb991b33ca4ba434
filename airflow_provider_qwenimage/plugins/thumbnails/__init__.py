"""
Thumbnails of recorded images, made when they are asked for and kept on disk.

Whether an image may be seen is decided before, and by others: what comes here is an image that was recorded.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.plugins.serving import NotServed, image
from airflow_provider_qwenimage.plugins.thumbnails.cache import Cache
from airflow_provider_qwenimage.plugins.thumbnails.maker import SIDE
from airflow_provider_qwenimage.plugins.thumbnails.processes import Makers, NotMade

if TYPE_CHECKING:
    from concurrent.futures import Executor

log = logging.getLogger(__name__)

_PROCESSES = 2
_THREADS = 2  # for each process: one image is read from S3 while another is made small
_MOST_BYTES = 32 << 20  # of an image
_CACHE_BYTES = 256 << 20
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """
    Makes and keeps thumbnails.

    :param threads: where they are made; a request waits for them without holding a thread of Airflow's.
    """

    threads: Executor
    _makers: Makers
    _cache: Cache

    def of(self, uri: str, sha256: str, aws_conn_id: str | None) -> bytes | None:
        """
        Return the thumbnail of a recorded image; ``None`` where none can be made and the image itself must do.

        :raises NotServed: it is gone, another by now, or no image.
        """
        # Of the URI and the connection, too: a digest alone gives no right to an image.
        named = "\n".join((aws_conn_id or "", uri, sha256, str(SIDE)))
        name = hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()
        small = self._cache.get(name)
        if small is None:
            small = self._made(uri, sha256, aws_conn_id)
            if small is None:
                return None
            self._cache.put(name, small)  # that none can be made is worth knowing, too
        return small or None

    def close(self) -> None:
        """End what makes them."""
        self.threads.shutdown()
        self._makers.close()

    def _made(self, uri: str, sha256: str, aws_conn_id: str | None) -> bytes | None:
        found = image(uri, sha256=sha256, aws_conn_id=aws_conn_id)
        if found.size > _MOST_BYTES:
            found.close()
            return b""
        whole = b"".join(found.chunks())
        # The metadata promised this digest; a cache that all users share takes nobody's word.
        if hashlib.sha256(whole).hexdigest() != sha256:
            raise NotServed(uri, "its bytes are not those of its digest")
        try:
            return self._makers.make(whole)
        except NotMade as error:
            log.warning("No thumbnail of %s: %s", uri, error)
            return None


def content_type(thumbnail: bytes) -> str:
    """Return the content type of a thumbnail."""
    return "image/jpeg" if thumbnail.startswith(_JPEG) else "image/webp"


@lru_cache(maxsize=1)
def thumbnails() -> Thumbnails | None:
    """Return what makes thumbnails in this API server; ``None`` where Pillow is not installed (extra ``gallery``)."""
    if find_spec("PIL") is None:
        log.info("No thumbnails: Pillow is not installed; the extra [gallery] brings it")
        return None
    from airflow.providers.common.compat.sdk import conf

    count = conf.getint("qwenimage", "thumbnail_processes", fallback=_PROCESSES)
    if count < 1:
        return None
    folder = conf.get("qwenimage", "thumbnail_cache", fallback="") or _default_folder()
    limit = conf.getint("qwenimage", "thumbnail_cache_bytes", fallback=_CACHE_BYTES)
    threads = ThreadPoolExecutor(count * _THREADS, "qwenimage-thumbnails")
    made = Thumbnails(threads, Makers(count), Cache(Path(folder), limit))
    atexit.register(made.close)
    return made


def _default_folder() -> str:
    return str(Path(tempfile.gettempdir()) / f"qwenimage-thumbnails-{os.geteuid()}")
