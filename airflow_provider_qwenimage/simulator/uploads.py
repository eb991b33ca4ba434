"""The vendor's store for temporary files: a policy to upload with, then `oss://` links for 48 hours.

As the SDK's `oss_utils` uses it (dashscope 2.0.2; contract 4.1).
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections import OrderedDict
from typing import Any

_POLICY_SECONDS = 300
_FILE_SECONDS = 48 * 3600
_MOST_FILES = 64
_MEGABYTES = 100


class Uploads:
    """Policies that were issued, and the last files that were stored under them."""

    def __init__(self) -> None:
        self._policies: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._files: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()

    def policy(self, host: str) -> dict[str, Any]:
        """Allow an upload.

        :param host: where the file is to be posted.
        :return: `data` of the vendor's answer.
        """
        signature = secrets.token_hex(14)
        folder = f"dashscope-instant/{secrets.token_hex(16)}/{time.strftime('%Y-%m-%d')}/{uuid.uuid4()}"
        with self._lock:
            _kept(self._policies, signature, (folder, time.time() + _POLICY_SECONDS))
        return {
            "policy": secrets.token_urlsafe(32),
            "signature": signature,
            "upload_dir": folder,
            "upload_host": host,
            "expire_in_seconds": _POLICY_SECONDS,
            "max_file_size_mb": _MEGABYTES,
            "capacity_limit_mb": 999999999,
            "oss_access_key_id": "LTAI5tSimulator",
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "true",
        }

    def store(self, key: str, signature: str, content: bytes) -> bool:
        """Keep a file.

        :return: whether its policy allowed it.
        """
        with self._lock:
            folder, until = self._policies.get(signature, ("", 0.0))
            fits = len(content) <= _MEGABYTES * 1024 * 1024
            if until < time.time() or not key.startswith(f"{folder}/") or key in self._files or not fits:
                return False
            _kept(self._files, key, (content, time.time() + _FILE_SECONDS))
        return True

    def find(self, link: str) -> bytes | None:
        """The file of an `oss://` link; None when there is none, or not any more."""
        with self._lock:
            content, until = self._files.get(link.removeprefix("oss://"), (None, 0.0))
        return content if until > time.time() else None

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._policies.clear()
            self._files.clear()


def _kept(held: OrderedDict[str, Any], name: str, value: Any) -> None:
    held[name] = value
    while len(held) > _MOST_FILES:
        held.popitem(last=False)
