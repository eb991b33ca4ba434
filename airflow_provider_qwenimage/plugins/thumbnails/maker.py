"""
The program that makes thumbnails: whole images come in, small ones go out. It runs in a process of its own.

What decodes images is what breaks on bad ones; here it breaks alone, within bounds of memory and CPU, and knows no
secret of the API server. A job and its answer are eight bytes of length and so many bytes; an empty answer says that
no thumbnail can be made of it. It ends where nobody needs it: after a minute without a job, or with the API server.
"""

from __future__ import annotations

import io
import os
import resource
import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 320  # pixels
LENGTH = 8  # bytes of a length
MOST_PIXELS = 1 << 24  # 4096 squared: the largest image that any model makes
CPU_SECONDS = 5  # for one image; a usual one takes a thirtieth of a second
_MEMORY = 1 << 30  # of addresses; an image of MOST_PIXELS takes 64 MiB
_IDLE = 60.0  # seconds
_MOST_PROFILE = 4096  # bytes; a larger colour profile outweighs the thumbnail
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # as images.formats knows them


def thumbnail(whole: bytes) -> bytes:
    """Return the first picture of an image, at most ``SIDE`` pixels wide and high; nothing where that cannot be."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    try:
        with Image.open(io.BytesIO(whole), formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                return b""
            small = _averageable(image)
            # Whole pixels are averaged first, down to nearly the size: half the time of the finer way.
            small.thumbnail((SIDE, SIDE), reducing_gap=1.0)
            return _encoded(ImageOps.exif_transpose(small))
    # Whatever a decoder stumbles over: the image is shown as it is.
    except Exception:  # noqa: BLE001
        return b""


def _averageable(image: Any) -> Any:
    """Return an image whose pixels are colours of eight bits, which can be averaged; most are."""
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in ("P", "PA", "1"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


def _encoded(image: Any) -> bytes:
    profile = image.info.get("icc_profile") or b""
    facts = {"icc_profile": profile} if 0 < len(profile) <= _MOST_PROFILE else {}
    out = io.BytesIO()
    if image.has_transparency_data:
        image.convert("RGBA").save(out, "WEBP", quality=80, method=0, **facts)
    else:
        rgb = image if image.mode in ("L", "RGB") else image.convert("RGB")
        rgb.save(out, "JPEG", quality=80, **(facts if rgb is image else {}))
    return out.getvalue()


def serve(read: Callable[[int], bytes], write: Callable[[bytes], None]) -> None:
    """Answer job after job until there is no further one."""
    while length := _exactly(LENGTH, read):
        whole = _exactly(int.from_bytes(length), read)
        _allow_cpu()
        small = thumbnail(whole)
        write(len(small).to_bytes(LENGTH) + small)


def _exactly(size: int, read: Callable[[int], bytes]) -> bytes:
    parts, left = [], size
    while left and (part := read(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"" if left else b"".join(parts)


def _allow_cpu() -> None:
    """Let this job have its seconds; one that takes more ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _job(size: int) -> bytes:
    ready, _, _ = select.select([0], [], [], _IDLE)
    return os.read(0, size) if ready else b""


def main() -> None:
    """Take jobs from standard input; what a library prints goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    import PIL.Image  # noqa: F401 - before the first job, which then takes no longer than the others

    def answer(text: bytes) -> None:
        left = memoryview(text)
        while left:
            left = left[answers.write(left) or 0 :]

    serve(_job, answer)


if __name__ == "__main__":
    main()
