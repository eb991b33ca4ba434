"""The idempotency keys of a batch: one for each request in each life of its task, whoever asks again."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.payment.record import REMEMBERED

if TYPE_CHECKING:
    from airflow_provider_qwenimage.batch.entries import Entry
    from airflow_provider_qwenimage.batch.items import Item
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.manifest import Origin


class Keys:
    """
    Makes keys, and knows those that are worth asking with again.

    :param header: the header they go into.
    :param account: a digest of host and key; what one account was asked for, another one does not know.
    :param owner: names the task instance in its life.
    """

    def __init__(self, header: str, *, account: str, owner: str) -> None:
        self._header, self._owner = header, owner
        self.account = account

    @classmethod
    def of(cls, settings: Settings, *, origin: Origin, life: int) -> Keys | None:
        """Return the keys of a task instance in its life, ``None`` where the gateway takes none."""
        header = settings.idempotency_header
        owner = f"{origin.model_dump_json()} {life}"
        return cls(header, account=settings.endpoint.account, owner=owner) if header else None

    def entry(self, item: Item, earlier: Entry | None) -> dict[str, object]:
        """Return what the intent of a request says of its key: the earlier one where its outcome is unknown."""
        if earlier and self.repeats(earlier):
            return {"key": earlier.key, "account": self.account, "sent": earlier.sent or earlier.at}
        name = f"{self._owner}\n{item.position}\n{item.fingerprint}\n{self._header}"
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        return {"key": f"{self._header}={digest}", "account": self.account}

    def repeats(self, entry: Entry) -> bool:
        """Whether the gateway still knows the key that a request of unknown outcome was sent with."""
        if entry.key is None or entry.state not in ("intent", "unknown"):
            return False
        same = (entry.key.partition("=")[0], entry.account) == (self._header, self.account)
        return same and datetime.now(UTC) - (entry.sent or entry.at) < REMEMBERED

    @staticmethod
    def value(entry: Entry) -> str | None:
        """Return the key itself."""
        return entry.key.partition("=")[2] if entry.key else None
