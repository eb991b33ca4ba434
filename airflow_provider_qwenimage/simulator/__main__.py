"""`python -m airflow_provider_qwenimage.simulator`."""

from __future__ import annotations

import argparse
import logging
import sys


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_qwenimage.simulator",
        description="A local gateway: every reply shape, every fault, real PNG bytes, no cost.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8700, help="0 picks a free one (default: 8700)")
    parser.add_argument("--key", default="demo-key", help="the API key that is accepted (default: demo-key)")
    parser.add_argument(
        "--url-lifetime", type=float, default=86400, metavar="SECONDS", help="life of a result URL"
    )
    parser.add_argument(
        "--latency", type=float, default=0, metavar="SECONDS", help="how long a generation takes"
    )
    parser.add_argument(
        "--job-seconds", type=float, default=2, metavar="SECONDS", help="how long a job takes"
    )
    parser.add_argument("--image-bytes", type=int, metavar="N", help="pad every PNG to about N bytes")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the ready line")
    return parser


def main() -> int:
    """Serve until SIGINT or SIGTERM."""
    chosen = vars(_parser().parse_args())
    quiet = chosen.pop("quiet")
    try:
        from airflow_provider_qwenimage.simulator.server import serve
        from airflow_provider_qwenimage.simulator.vendor import GATEWAYS
    except ImportError as error:
        sys.stderr.write(
            f"The simulator needs {error.name or error}, which is not installed:\n"
            "    pip install 'airflow-provider-qwenimage[simulator]'\n"
        )
        return 1
    logging.basicConfig(
        level=logging.ERROR if quiet else logging.INFO, format="%(message)s", stream=sys.stderr
    )

    def announce(url: str) -> None:
        sys.stdout.write(f"simulator ready on {url}\n")
        sys.stdout.flush()
        if not quiet:
            logging.getLogger(__name__).info("key %s; gateways: %s", chosen["key"], ", ".join(GATEWAYS))

    try:
        serve(announce=announce, **chosen)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {chosen['host']}:{chosen['port']}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
