"""
One thing to measure, run once in a process of its own: prints what it took as one line of JSON.

    python -m benchmarks.contenders NAME '{"count": 200, …}'
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks import campaigns

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 16


def urls(job: dict[str, Any]) -> list[str]:
    return [
        f"{job['images']}/img/{number}.png?Expires=9999999999&Signature=x" for number in range(job["count"])
    ]


def prefix() -> str:
    return f"s3://bench/{os.getpid()}-{time.time_ns()}/"


def connections(job: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables that hold the Airflow connections."""
    login = {"login": job.get("key", "k"), "password": job.get("secret", "s")}
    aws = {"conn_type": "aws", **login, "extra": {"endpoint_url": job["s3"], "region_name": "us-east-1"}}
    extra = {"gateway": "applerouter", "allow_private_hosts": True, "model": "qwen-image-plus"}
    gateway = {
        "conn_type": "qwenimage",
        "host": f"{job['images']}/gw",
        "password": "bench-key",
        "extra": extra,
    }
    return {
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
        "AIRFLOW_CONN_QWENIMAGE_DEFAULT": json.dumps(gateway),
        "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": job["images"]}),
    }


def s3_place(job: dict[str, Any]) -> dict[str, str]:
    """Return how botocore and what is built on it are told of the server."""
    keys = {
        "aws_access_key_id": job.get("key", "k"),
        "aws_secret_access_key": job.get("secret", "s"),
    }
    return {"endpoint_url": job["s3"], "region_name": "us-east-1", **keys}


def boto3_client(job: dict[str, Any]) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("s3", **s3_place(job), config=Config(max_pool_connections=THREADS))


def ours(job: dict[str, Any]) -> Callable[[], Any]:
    os.environ.update(connections(job))
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: F401 - loaded before, as in the others

    from airflow_provider_qwenimage.models.options import StoreOptions
    from airflow_provider_qwenimage.storage.sources import read_sources
    from airflow_provider_qwenimage.storage.store import ImageStore

    def run() -> None:
        extra = {"max_concurrency": job["concurrency"]} if job.get("concurrency") else {}
        options = StoreOptions(s3_prefix=prefix(), allow_private_hosts=True, **extra)
        with ImageStore(options) as store:
            store.store_all(read_sources(urls(job))).raise_if_incomplete()

    return run


def loop_of_operators(job: dict[str, Any]) -> Callable[[], Any]:
    os.environ.update(connections(job))
    from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator

    def run() -> None:
        place = prefix()
        for number, url in enumerate(urls(job)):
            operator = HttpToS3Operator(
                task_id=f"copy-{number}",
                endpoint=url.removeprefix(job["images"]),
                s3_bucket="bench",
                s3_key=f"{place.removeprefix('s3://bench/')}{number:03d}.png",
                tcp_keep_alive=False,
            )
            operator.execute({})

    return run


def boto3_threads(job: dict[str, Any]) -> Callable[[], Any]:
    import boto3  # noqa: F401
    import httpx

    def run() -> None:
        place = prefix().removeprefix("s3://bench/")
        limits = httpx.Limits(max_connections=THREADS, max_keepalive_connections=THREADS)
        client, http = boto3_client(job), httpx.Client(limits=limits, timeout=60)

        def one(work: tuple[int, str]) -> None:
            number, url = work
            body = http.get(url).raise_for_status().content
            client.put_object(
                Bucket="bench", Key=f"{place}{number:03d}.png", Body=body, ContentType="image/png"
            )

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(one, enumerate(urls(job))))

    return run


def obstore(job: dict[str, Any]) -> Callable[[], Any]:
    import asyncio

    import httpx
    from obstore.store import S3Store

    async def copy() -> None:
        place = prefix().removeprefix("s3://bench/")
        store = S3Store(
            "bench",
            endpoint=job["s3"],
            region="us-east-1",
            access_key_id=job.get("key", "k"),
            secret_access_key=job.get("secret", "s"),
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        limit = asyncio.Semaphore(THREADS)
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=THREADS), timeout=60) as http:

            async def one(number: int, url: str) -> None:
                async with limit:
                    body = (await http.get(url)).raise_for_status().content
                    await store.put_async(f"{place}{number:03d}.png", body, use_multipart=False)

            await asyncio.gather(*(one(number, url) for number, url in enumerate(urls(job))))

    return lambda: asyncio.run(copy())


def aiobotocore(job: dict[str, Any]) -> Callable[[], Any]:
    import asyncio

    import aiohttp
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    async def copy() -> None:
        place = prefix().removeprefix("s3://bench/")
        config = AioConfig(max_pool_connections=THREADS)
        making = get_session().create_client("s3", **s3_place(job), config=config)
        limit = asyncio.Semaphore(THREADS)
        async with making as client, aiohttp.ClientSession() as http:

            async def one(number: int, url: str) -> None:
                async with limit:
                    async with http.get(url) as reply:
                        body = await reply.read()
                    await client.put_object(Bucket="bench", Key=f"{place}{number:03d}.png", Body=body)

            await asyncio.gather(*(one(number, url) for number, url in enumerate(urls(job))))

    return lambda: asyncio.run(copy())


def s5cmd(job: dict[str, Any]) -> Callable[[], Any]:
    """Upload the same bytes from disk: it copies no URLs, so its download is not counted."""
    import shutil
    import subprocess
    import tempfile
    import urllib.request
    from pathlib import Path

    beside = Path(sys.executable).parent / "s5cmd"
    program = str(beside) if beside.exists() else shutil.which("s5cmd")
    if program is None:
        raise ModuleNotFoundError("s5cmd")
    folder = Path(tempfile.mkdtemp(prefix="bench-s5cmd-"))
    for number, url in enumerate(urls(job)):
        with urllib.request.urlopen(url) as reply:
            (folder / f"{number:03d}.png").write_bytes(reply.read())
    environ = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": job.get("key", "k"),
        "AWS_SECRET_ACCESS_KEY": job.get("secret", "s"),
    }
    environ["AWS_REGION"] = "us-east-1"

    def run() -> None:
        command = [
            program,
            "--endpoint-url",
            job["s3"],
            "--numworkers",
            str(THREADS),
            "cp",
            f"{folder}/",
            prefix(),
        ]
        try:
            subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
        finally:
            shutil.rmtree(folder)

    return run


def generate(job: dict[str, Any]) -> Callable[[], Any]:
    os.environ.update(connections(job))
    from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

    hook = QwenImageHook()
    hook.generate("a red fox", size="1328*1328", seed=7)

    def run() -> None:
        for _ in range(job["count"]):
            hook.generate("a red fox", size="1328*1328", seed=7)

    return run


def bare_post(job: dict[str, Any]) -> Callable[[], Any]:
    import httpx

    client = httpx.Client(headers={"Authorization": "Bearer bench-key"}, timeout=300)
    content = [{"text": "a red fox"}]
    body = {
        "model": "qwen-image-plus",
        "input": {"messages": [{"role": "user", "content": content}]},
        "parameters": {"n": 1, "size": "1328*1328", "seed": 7},
    }
    client.post(f"{job['images']}/gw/v1/images/generations", json=body).json()

    def run() -> None:
        for _ in range(job["count"]):
            client.post(f"{job['images']}/gw/v1/images/generations", json=body).json()

    return run


def batch(job: dict[str, Any]) -> Callable[[], Any]:
    os.environ.update(connections(job))
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: F401 - loaded before, as in the others

    from airflow_provider_qwenimage.batch.running import BatchRun
    from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
    from airflow_provider_qwenimage.models.manifest import Origin
    from airflow_provider_qwenimage.models.options import BatchOptions

    settings = QwenImageHook().settings

    def run(count: int = job["count"]) -> None:
        requests = [{"prompt": f"product {number}, white background"} for number in range(count)]
        options = BatchOptions(persist_to=prefix(), max_concurrency=job["concurrency"])
        verdict, _ = BatchRun(settings, options, Origin(dag_id="b")).run(requests, defaults={})
        assert len(verdict.done) == count, verdict.failed

    if job.get("warm"):
        run(job["warm"])
        gc.collect()  # the client of S3 is a ring of objects: the next one would stand beside it
    return run


def plan(job: dict[str, Any]) -> Callable[[], Any]:
    os.environ.update(connections(job))
    return campaigns.plan(job, prefix())


def close(job: dict[str, Any]) -> Callable[[], Any]:
    os.environ.update(connections(job))
    return campaigns.close(job, prefix())


CONTENDERS = {
    each.__name__: each
    for each in (
        ours,
        loop_of_operators,
        boto3_threads,
        obstore,
        aiobotocore,
        s5cmd,
        generate,
        bare_post,
        batch,
        plan,
        close,
    )
}


def main() -> None:
    logging.disable(logging.INFO)
    job = json.loads(sys.argv[2])
    try:
        with contextlib.redirect_stdout(sys.stderr):
            run = CONTENDERS[sys.argv[1]](job)
    except ModuleNotFoundError as error:
        sys.stdout.write(json.dumps({"missing": error.name or str(error)}) + "\n")
        return
    before = _peak()
    cpu, start = _cpu(), time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        run()
    seconds, spent = time.perf_counter() - start, _cpu() - cpu
    took = {"seconds": seconds, "cpu": spent, "peak_mib": _peak(), "grown_mib": _peak() - before}
    sys.stdout.write(json.dumps({**took, "count": job["count"]}) + "\n")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
