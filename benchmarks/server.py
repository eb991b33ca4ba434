"""
A gateway, an image host and an S3 server in one small asyncio program that answers after a given delay.

It does as little as can be, so that what is measured is the client: images are made once, S3 keeps only what is
read again (JSON), and forgets the bytes of images.

    python -m benchmarks.server --image-bytes 1500000 --latency 2 --get 0.08 --put 0.04
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import struct
import sys
import time
import zlib
from urllib.parse import parse_qs, unquote, urlsplit

_VARIANTS = 16


def png(seed: int, size: int) -> bytes:
    """Return a PNG of about ``size`` bytes; most of it a private chunk that does not compress."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    width, height = 64, 64
    rows = b"".join(b"\0" + bytes([seed]) * (3 * width) for _ in range(height))
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    padding = max(0, size - len(head) - len(rest) - 12)
    return head + chunk(b"qwPd", random.Random(seed).randbytes(padding)) + rest


class World:
    """What all connections share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.images = [png(seed, options.image_bytes) for seed in range(_VARIANTS)]
        self.objects: dict[str, tuple[int, str, bytes | None]] = {}
        self.counts = {"posts": 0, "gets": 0, "puts": 0, "heads": 0, "lists": 0, "bytes_in": 0}
        self.made = 0


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pieces: list[bytes] = []
        self.size = 0
        self.head: tuple[str, str, dict[str, str]] | None = None
        self.wanted = 0
        self.answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.size += len(data)
        if self.head is None:
            seen = b"".join(self.pieces)
            end = seen.find(b"\r\n\r\n")
            if end < 0:
                self.pieces = [seen]
                return
            self._begin(seen[:end].decode("latin-1"))
            self.pieces, self.size = [seen[end + 4 :]], len(seen) - end - 4
        if self.size >= self.wanted:
            body = b"".join(self.pieces)
            head, self.head, self.pieces, self.size = self.head, None, [], 0
            self.answering = asyncio.ensure_future(self._answer(head, body))

    def _begin(self, text: str) -> None:
        first, *lines = text.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.head, self.wanted = (method, target, headers), int(headers.get("content-length", 0))
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _answer(self, head: tuple[str, str, dict[str, str]], body: bytes) -> None:
        method, target, headers = head
        parts = urlsplit(target)
        if parts.path.startswith("/gw/"):
            await self._gateway(method, body, headers)
        elif parts.path.startswith("/img/"):
            await self._image(parts.path)
        elif parts.path == "/_counts":
            self._send(200, json.dumps(self.world.counts).encode(), "application/json")
        else:
            await self._s3(
                method,
                unquote(parts.path.lstrip("/")),
                parse_qs(parts.query, keep_blank_values=True),
                headers,
                body,
            )

    async def _gateway(self, method: str, body: bytes, headers: dict[str, str]) -> None:
        if method != "POST":
            self._send(200, b'{"data": []}', "application/json")
            return
        self.world.counts["posts"] += 1
        asked = json.loads(body)
        if self.world.options.latency:
            await asyncio.sleep(self.world.options.latency)
        count = int(asked.get("parameters", asked).get("n", 1))
        urls = []
        for _ in range(count):
            self.world.made += 1
            expires = int(time.time()) + 86400
            urls.append(
                {"url": f"http://{headers['host']}/img/{self.world.made}.png?Expires={expires}&Signature=x"}
            )
        reply = {"created": int(time.time()), "data": urls, "request_id": f"r-{self.world.made}"}
        self._send(200, json.dumps(reply).encode(), "application/json")

    async def _image(self, path: str) -> None:
        self.world.counts["gets"] += 1
        number = int(path.rpartition("/")[2].partition(".")[0])
        if self.world.options.get:
            await asyncio.sleep(self.world.options.get)
        self._send(200, self.world.images[number % _VARIANTS], "image/png")

    async def _s3(self, method: str, path: str, query: dict, headers: dict, body: bytes) -> None:
        objects, counts = self.world.objects, self.world.counts
        if method == "PUT":
            counts["puts"] += 1
            counts["bytes_in"] += len(body)
            if self.world.options.put:
                await asyncio.sleep(self.world.options.put)
            if headers.get("if-none-match") == "*" and path in objects:
                self._send(412, b"<Error><Code>PreconditionFailed</Code></Error>", "application/xml")
                return
            etag = hashlib.md5(str(len(body)).encode()).hexdigest()
            keep = body if "json" in headers.get("content-type", "") or len(body) < 4096 else None
            objects[path] = (len(body), etag, keep)
            self._send(200, b"", "application/xml", ETag=f'"{etag}"')
        elif method == "DELETE":
            objects.pop(path, None)
            self._send(204, b"", "application/xml")
        elif "list-type" in query or (method == "GET" and path.count("/") <= 1 and "prefix" in query):
            counts["lists"] += 1
            self._send(200, self._listing(path.rstrip("/"), query), "application/xml")
        elif path in objects:
            size, etag, keep = objects[path]
            self._send(
                200,
                keep if keep is not None else b"\0" * size,
                "application/json",
                ETag=f'"{etag}"',
                head=method == "HEAD",
            )
        else:
            counts["heads"] += 1
            self._send(
                404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml", head=method == "HEAD"
            )

    def _listing(self, bucket: str, query: dict) -> bytes:
        prefix, flat = query.get("prefix", [""])[0], "delimiter" not in query
        rows = []
        for path, (size, etag, _) in sorted(self.world.objects.items()):
            key = path.removeprefix(f"{bucket}/")
            if key.startswith(prefix) and (flat or "/" not in key[len(prefix) :]):
                rows.append(
                    f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>{etag}</ETag>"
                    "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
                )
        return (
            f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(rows)}</ListBucketResult>".encode()
        )

    def _send(self, status: int, body: bytes, kind: str, *, head: bool = False, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} x", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode())
        if not head:
            self.transport.write(body)


async def serve(options: argparse.Namespace) -> None:
    world = World(options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-bytes", type=int, default=1_500_000)
    for name in ("--latency", "--get", "--put"):
        parser.add_argument(name, type=float, default=0.0, help="seconds before the answer")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
