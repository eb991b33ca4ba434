"""How many examples a fuzz target runs: ``QWENIMAGE_FUZZ=long`` runs ten times as many, other ones each time."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SHARED = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=100, derandomize=True, **_SHARED)
settings.register_profile("long", max_examples=1000, print_blob=True, **_SHARED)
settings.load_profile(os.environ.get("QWENIMAGE_FUZZ", "quick"))
