"""`python -m airflow_provider_qwenimage.testing`: a gateway and a bucket on this machine, to try things out."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading

BUCKET = "marketing"


def main() -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_qwenimage.testing",
        description="A gateway that bills nobody and an S3 server in memory, on loopback.",
    )
    parser.add_argument(
        "--port", type=int, default=8700, help="of the gateway; 0 picks a free one (default: 8700)"
    )
    parser.add_argument("--s3-port", type=int, default=9700, help="of the S3 server (default: 9700)")
    chosen = parser.parse_args()
    try:
        from airflow_provider_qwenimage.simulator import running
        from airflow_provider_qwenimage.testing.local import connection
        from airflow_provider_qwenimage.testing.s3 import serving
    except ImportError as error:
        sys.stderr.write(f"It needs {error.name}: pip install 'airflow-provider-qwenimage[testing]'\n")
        return 1
    with running(port=chosen.port) as gateway, serving(port=chosen.s3_port) as s3:
        s3.client().create_bucket(Bucket=BUCKET)
        told = connection(gateway.base("tokenhot"), gateway.state.settings.key, gateway="tokenhot")
        sys.stdout.write(
            f"export AIRFLOW_CONN_QWENIMAGE_DEFAULT='{told}'\n"
            f"export AIRFLOW_CONN_AWS_DEFAULT='{s3.connection}'\n"
            f"Ready: a gateway on {gateway.url} and the bucket s3://{BUCKET}; Ctrl-C ends both.\n"
        )
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
