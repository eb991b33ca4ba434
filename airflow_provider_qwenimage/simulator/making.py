"""Draws up what a request gets: pictures, captions, links."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.simulator.drawing import Picture, draw
from airflow_provider_qwenimage.simulator.faults import FAULTS
from airflow_provider_qwenimage.simulator.replies import Item, Made
from airflow_provider_qwenimage.simulator.rules import pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.simulator.asks import Ask
    from airflow_provider_qwenimage.simulator.drawing import Reference
    from airflow_provider_qwenimage.simulator.gallery import File
    from airflow_provider_qwenimage.simulator.state import State
    from airflow_provider_qwenimage.simulator.vendor import GatewayRow

_HOUR = 3600


@dataclass(frozen=True)
class Making:
    """One accepted request, about to be drawn.

    :param base: scheme and host the client used, for the links.
    :param fault: name of the fault that strikes this request.
    """

    ask: Ask
    references: tuple[Reference, ...]
    gateway: GatewayRow
    state: State
    base: str
    fault: str | None
    request_id: str

    def make(self) -> Made:
        """Hang the pictures and tell where. Blocks when base64 is asked."""
        size = pixels(self.ask, self.references)
        return Made(self.ask, tuple(self._items(size)), size, self.request_id, tuple(self._partials(size)))

    def _partials(self, size: tuple[int, int]) -> Iterator[str]:
        asked = self.ask.parameters.get("partial_images") if self.ask.events else None
        for number in range(int(asked or 0)):
            preview = self._picture(size, index=0, caption=f"partial image {number + 1}")
            yield base64.b64encode(draw(preview)).decode()

    def _items(self, size: tuple[int, int]) -> Iterator[Item]:
        total = self.ask.count
        for index in range(total - (self.fault == "fewer_images")):
            caption = f"Scene {index + 1}: {self.ask.prompt}" if self.ask.interleave else ""
            if caption:
                yield Item(text=caption)
            if self.fault == "partial_failure" and index == total - 1:
                yield Item(failed=True)
            else:
                yield self._item(self._hung(self._picture(size, index=index, caption=caption)))

    def _picture(self, size: tuple[int, int], *, index: int, caption: str) -> Picture:
        ask = self.ask
        mark = "AI Generated" if ask.model.startswith("wan") else "Qwen-Image"
        return Picture(
            prompt=ask.prompt,
            model=ask.model,
            width=size[0],
            height=size[1],
            # wan2.5-i2i counts the seed up from image to image (contract section 5).
            seed=seed_of(ask) + (index if ask.model == "wan2.5-i2i-preview" else 0),
            index=index,
            total=ask.count,
            step=index + 1 if ask.sequential or ask.interleave else 0,
            caption=caption,
            watermark=mark if ask.parameters.get("watermark") is True else "",
            references=self.references,
            image_format=self._image_format,
        )

    def _hung(self, picture: Picture) -> File:
        attached = self.fault if self.fault and FAULTS[self.fault].on == "file" else None
        return self.state.gallery.hang(picture, gateway=self.gateway.name, fault=attached)

    def _item(self, file: File) -> Item:
        if self.fault == "relative_url":
            return Item(url=f"/v1/images/{file.id}/content")
        if self.fault == "server_path":
            return Item(url=f"/home/xinference/.xinference/image/{file.id}.png")
        if self._inline:
            return Item(b64=base64.b64encode(self.state.gallery.content(file)).decode())
        expires = int(time.time()) - _HOUR if self.fault == "expired_url" else None
        return Item(url=self.state.gallery.link(file, self.base, expires=expires))

    @property
    def _inline(self) -> bool:
        asked = self.ask.parameters.get("response_format")
        if self.gateway.kind == "engine":
            return asked != "url" or self.ask.events
        # DashScope and what passes its replies through know only links; its compatible mode ignores the wish.
        return (
            asked == "b64_json"
            and self.gateway.reply.startswith("openai")
            and self.gateway.kind != "compatible"
        )

    @property
    def _image_format(self) -> str:
        if self.gateway.kind != "engine":
            return "jpeg" if self.ask.shape == "translation" else "png"
        return str(self.ask.parameters.get("output_format") or self.state.settings.image_format)


def seed_of(ask: Ask) -> int:
    """The seed asked for, or one that the prompt decides: the same request draws the same image."""
    given = ask.parameters.get("seed")
    if given is not None:
        return int(given)
    return int.from_bytes(hashlib.sha256(ask.prompt.encode()).digest()[:4], "big") % 2**31
