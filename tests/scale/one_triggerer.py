"""One process full of triggers: reads their arguments from its input, prints how many of them got their images."""

from __future__ import annotations

import asyncio
import json
import sys

from airflow_provider_qwenimage.triggers.qwenimage import QwenImageJobTrigger
from e2e.crowd import first_event


async def main() -> None:
    triggers = [QwenImageJobTrigger(**arguments) for arguments in json.load(sys.stdin)]
    events = await asyncio.gather(*map(first_event, triggers))
    sys.stdout.write(f"\n{sum('generation' in event for event in events)}")


asyncio.run(main())
