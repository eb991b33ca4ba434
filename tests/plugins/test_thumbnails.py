"""Thumbnails: small, within bounds, kept on disk within a limit, and given to nobody who may not see the image."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from airflow_provider_qwenimage.plugins import thumbnails as room
from airflow_provider_qwenimage.plugins.thumbnails import maker
from airflow_provider_qwenimage.plugins.thumbnails.cache import Cache
from airflow_provider_qwenimage.plugins.thumbnails.processes import Makers, NotMade

LIMIT = 1 << 20


def drawn(kind="PNG", mode="RGB", size=(1328, 996), **options):
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(out, kind, **options)
    return out.getvalue()


def opened(content):
    return Image.open(io.BytesIO(content))


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """A cache of the test's own."""
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__THUMBNAIL_CACHE", str(tmp_path / "cache"))
    room.thumbnails.cache_clear()
    yield tmp_path / "cache"
    if room.thumbnails.cache_info().currsize and (made := room.thumbnails()):
        made.close()
    room.thumbnails.cache_clear()


@pytest.fixture
def makers():
    one = Makers(1)
    yield one
    one.close()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_kind_of_image_becomes_a_small_one(kind):
    small = opened(maker.thumbnail(drawn(kind)))
    assert (small.size, small.format) == ((320, 240), "JPEG")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "1", "I;16"])
def test_what_is_transparent_stays_so(mode):
    out = io.BytesIO()
    Image.new(mode, (1328, 1328)).save(out, "PNG")
    small = opened(maker.thumbnail(out.getvalue()))
    assert (small.mode, small.format) == (("RGBA", "WEBP") if mode.endswith("A") else (small.mode, "JPEG"))


def test_grey_of_16_bits_keeps_its_brightness():
    out = io.BytesIO()
    Image.new("I;16", (1328, 1328), 0x8000).save(out, "PNG")
    assert opened(maker.thumbnail(out.getvalue())).getpixel((7, 7)) in range(126, 131)


def test_a_picture_stands_as_its_camera_was_held():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert opened(maker.thumbnail(drawn("JPEG", exif=exif))).size == (240, 320)


def bomb():
    """4.3 gigapixels in a file of some kilobytes, and no rows: what decodes it asks for memory first."""
    whole = bytearray(drawn(size=(64, 64)))
    whole[16:24] = (65535).to_bytes(4) * 2
    return bytes(whole)


@pytest.mark.parametrize(
    "whole",
    [b"", b"<svg/>", drawn()[:2000], bomb(), drawn("PNG", "1", (8192, 4096))],
    ids=["nothing", "svg", "cut", "bomb", "large"],
)
def test_of_what_is_no_image_or_too_large_none_is_made(whole):
    assert maker.thumbnail(whole) == b""


def pid_of(makers):
    return makers._idle.queue[-1]._process.pid


def test_a_process_makes_many_and_is_bounded_by_the_system(makers):
    whole = drawn()
    first = makers.make(whole)
    pid = pid_of(makers)
    assert [makers.make(whole), makers.make(b"no image"), makers.make(whole)] == [first, b"", first]
    assert pid_of(makers) == pid
    limits = Path(f"/proc/{pid}/limits").read_text()
    told = {line[:25].strip(): line[26:46].strip() for line in limits.splitlines()}
    assert 0 < int(told["Max cpu time"]) <= maker.CPU_SECONDS + 10
    assert int(told["Max address space"]) == 1 << 30
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"AIRFLOW" not in environ


def test_a_process_that_died_is_replaced(makers):
    whole = drawn()
    makers.make(whole)
    os.kill(pid_of(makers), signal.SIGKILL)
    os.waitpid(pid_of(makers), os.WNOHANG)
    for _ in range(2):  # it may be seen to be dead only when it is asked
        try:
            small = makers.make(whole)
            break
        except NotMade:
            continue
    assert opened(small).size == (320, 240)


def test_what_takes_too_long_has_no_thumbnail_and_the_next_one_has(makers):
    makers.make(drawn())
    os.kill(pid_of(makers), signal.SIGSTOP)
    os.kill(pid_of(makers), signal.SIGXCPU)  # as the system does at the bound
    os.kill(pid_of(makers), signal.SIGCONT)
    made = [makers.make(drawn()), makers.make(drawn())]
    assert made[0] in (b"", made[1])
    assert opened(made[1]).size == (320, 240)


def test_the_program_ends_with_its_server():
    program = Path(maker.__file__)
    ran = subprocess.run([sys.executable, "-P", str(program)], input=b"", timeout=60, check=False)
    assert ran.returncode == 0


def test_caches_of_several_servers_keep_the_limit_together(tmp_path):
    folder = tmp_path / "shared"
    servers = [Cache(folder, LIMIT) for _ in range(3)]
    for number in range(600):
        servers[number % 3].put(f"{number}", bytes(5000))
    kept = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert len(kept) > 100
    assert sum(kept.values()) <= LIMIT * (1 + 3 / 16)
    assert servers[0].get("599") == bytes(5000)
    assert servers[1].get("0") is None


def test_what_is_looked_at_stays(tmp_path):
    cache = Cache(tmp_path / "lru", LIMIT)
    for number in range(40):
        cache.put(f"{number}", bytes(5000))
        os.utime(tmp_path / "lru" / f"{number}", (0, time.time() - 90_000 + number))
    cache.get("0")
    for number in range(40, 145):
        cache.put(f"{number}", bytes(5000))
    assert [cache.get(name) is not None for name in ("0", "1", "144")] == [True, False, True]


def test_a_folder_in_which_others_may_write_is_not_used(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    cache = Cache(folder, LIMIT)
    cache.put("a", b"x")
    assert (cache.get("a"), list(folder.iterdir())) == (None, [])


def test_a_thumbnail_is_small_kept_and_not_sent_twice(anna, shown, own_cache):
    whole = anna.get("/qwenimage/image", params=shown.query())
    first = anna.get("/qwenimage/thumbnail", params=shown.query())
    assert first.headers["content-type"] == "image/jpeg"
    assert max(opened(first.content).size) == 320
    assert len(first.content) < len(whole.content)
    assert first.headers["cache-control"] == "private, no-cache"
    (file,) = own_cache.iterdir()
    assert file.read_bytes() == first.content
    file.write_bytes(b"\xff\xd8\xff kept")
    assert anna.get("/qwenimage/thumbnail", params=shown.query()).content == b"\xff\xd8\xff kept"
    again = {"If-None-Match": first.headers["etag"]}
    answer = anna.get("/qwenimage/thumbnail", params=shown.query(), headers=again)
    assert (answer.status_code, answer.content) == (304, b"")
    assert first.headers["etag"] != whole.headers["etag"]


def test_without_a_process_the_image_itself_is_served(anna, shown, monkeypatch):
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__THUMBNAIL_PROCESSES", "0")
    whole = anna.get("/qwenimage/image", params=shown.query())
    answer = anna.get("/qwenimage/thumbnail", params=shown.query())
    assert (answer.content, answer.headers["etag"]) == (whole.content, whole.headers["etag"])


def put(shown, image, **changed):
    bucket, _, key = image["uri"].removeprefix("s3://").partition("/")
    client = shown.s3.client()
    before = client.get_object(Bucket=bucket, Key=key)
    kept = {"Body": before["Body"].read(), "Metadata": before["Metadata"], "ContentType": "image/png"}
    client.put_object(Bucket=bucket, Key=key, **{**kept, **changed})
    return lambda: client.put_object(Bucket=bucket, Key=key, **kept)


def test_bytes_that_only_claim_the_digest_get_no_place_in_the_cache(anna, shown, own_cache):
    restore = put(shown, shown.stored[0], Body=drawn())
    try:
        answer = anna.get("/qwenimage/thumbnail", params=shown.query())
    finally:
        restore()
    assert (answer.status_code, list(own_cache.iterdir())) == (404, [])


def test_an_image_that_is_gone_has_no_thumbnail(anna, shown):
    restore = put(shown, shown.stored[0])
    bucket, _, key = shown.stored[0]["uri"].removeprefix("s3://").partition("/")
    shown.s3.client().delete_object(Bucket=bucket, Key=key)
    try:
        assert anna.get("/qwenimage/thumbnail", params=shown.query()).status_code == 404
    finally:
        restore()
