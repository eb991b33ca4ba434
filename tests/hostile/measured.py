"""What it costs to look at a file: CPU seconds and memory, in a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

MIB = 1024 * 1024


@dataclass(frozen=True)
class Cost:
    """
    What one look took.

    :param cpu: seconds of the processor, not of the clock.
    :param memory: bytes at the peak, above what the process held before.
    :param verdict: name of the error, empty for none.
    """

    cpu: float
    memory: int
    verdict: str


class Measuring:
    """A process that looks at one file after the other; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def cost(self, path: Path, *, how: str = "inspect") -> Cost:
        """Look at a file as ``inspect`` or ``receive`` of the provider do, or decode it as a data URL."""
        self._process.stdin.write(json.dumps([how, str(path)]) + "\n")
        self._process.stdin.flush()
        return Cost(**json.loads(self._process.stdout.readline()))


def _peak() -> int:
    """Return the most memory held since ``_forget``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _forget() -> None:
    """Set the peak to what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def _looks() -> dict[str, Any]:
    from airflow_provider_qwenimage.images.checked import receive, receive_data_url
    from airflow_provider_qwenimage.images.formats import inspect
    from airflow_provider_qwenimage.images.signing import validation

    validation(b"", "image/png")  # the library itself is no image's cost

    def inspected(path: Path) -> None:
        with path.open("rb") as file:
            inspect(file, path.stat().st_size)

    def received(path: Path) -> None:
        with path.open("rb") as file:
            receive(iter(lambda: file.read(65536), b""), max_bytes=128 * MIB).close()

    return {
        "inspect": inspected,
        "receive": received,
        "data": lambda url: receive_data_url(url, max_bytes=64 * MIB).close(),
    }


def main() -> None:
    import time

    looks = _looks()
    for line in sys.stdin:
        how, path = json.loads(line)
        given = Path(path).read_text(encoding="ascii") if how == "data" else Path(path)
        _forget()
        held, begun, verdict = _peak(), time.process_time(), ""
        try:
            looks[how](given)
        except Exception as error:  # noqa: BLE001 - the test says which it may be
            verdict = type(error).__name__
        cpu = time.process_time() - begun
        sys.stdout.write(json.dumps({"cpu": cpu, "memory": _peak() - held, "verdict": verdict}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
