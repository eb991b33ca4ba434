"""Drawn files by id: signed URLs, cached bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow_provider_qwenimage.simulator.drawing import Picture, draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_qwenimage.simulator.settings import Settings

_CACHE_BYTES = 64 * 1024 * 1024
ACCESS_KEY_ID = "LTAI5tSimulator"


@dataclass
class File:
    """A result that can be fetched.

    :param fault: asked for by the request that made it.
    :param fetched: how many GETs found it.
    """

    id: str
    gateway: str
    picture: Picture
    fault: str | None = None
    fetched: int = 0


class Gallery:
    """Keeps what each file shows and draws it when it is fetched."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secret = secrets.token_bytes(16)
        self._files: dict[str, File] = {}
        self._drawn: OrderedDict[tuple[Picture, int | None], bytes] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def hang(self, picture: Picture, *, gateway: str, fault: str | None = None) -> File:
        """Add a picture and give it an id."""
        file = File(secrets.token_hex(12), gateway, picture, fault)
        with self._lock:
            self._files[file.id] = file
        return file

    def find(self, file_id: str) -> File | None:
        """The file, or None."""
        with self._lock:
            return self._files.get(file_id)

    def content(self, file: File) -> bytes:
        """The exact bytes a GET of `file` answers with."""
        key = (file.picture, self._settings.image_bytes)
        with self._lock:
            if key in self._drawn:
                self._drawn.move_to_end(key)
                return self._drawn[key]
        content = draw(file.picture, least_bytes=self._settings.image_bytes)
        with self._lock:
            if key not in self._drawn:
                self._drawn[key] = content
                self._held += len(content)
            while self._held > _CACHE_BYTES and len(self._drawn) > 1:
                self._held -= len(self._drawn.popitem(last=False)[1])
        return content

    def link(self, file: File, base: str, *, expires: int | None = None) -> str:
        """A signed URL as OSS gives it.

        :param expires: seconds since 1970; None is now plus the lifetime of the settings.
        """
        until = int(time.time() + self._settings.url_lifetime) if expires is None else expires
        extension = "jpg" if file.picture.image_format == "jpeg" else "png"
        path = f"/files/{quote(file.gateway)}/{file.id}.{extension}"
        query = {"Expires": until, "OSSAccessKeyId": ACCESS_KEY_ID, "Signature": self._sign(path, str(until))}
        return f"{base}{path}?{urlencode(query)}"

    def signed(self, path: str, query: Mapping[str, str], *, method: str = "GET") -> bool:
        """Whether the signature of `query` belongs to `path`."""
        wanted = self._sign(path, query.get("Expires", ""), method)
        return (
            hmac.compare_digest(wanted, query.get("Signature", ""))
            and query.get("OSSAccessKeyId") == ACCESS_KEY_ID
        )

    def clear(self) -> None:
        """Forget all files."""
        with self._lock:
            self._files.clear()
            self._drawn.clear()
            self._held = 0

    def _sign(self, path: str, expires: str, method: str = "GET") -> str:
        text = f"{method}\n\n\n{expires}\n{path}".encode()
        return base64.b64encode(hmac.new(self._secret, text, hashlib.sha1).digest()).decode()
