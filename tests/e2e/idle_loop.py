"""Measures the lag of an event loop that does nothing else until its input ends; prints the 99th percentile in seconds."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

TICK = 0.01


async def main() -> None:
    lags: list[float] = []
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        asked = time.monotonic() + TICK
        await asyncio.sleep(TICK)
        lags.append(time.monotonic() - asked)
    sys.stdout.write(f"{sorted(lags)[int(0.99 * (len(lags) - 1))]}")


asyncio.run(main())
