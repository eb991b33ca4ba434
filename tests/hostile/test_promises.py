"""What SECURITY.md promises is kept by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_every_test_that_security_names_is_there():
    named = set(re.findall(r"`(tests/\S+?\.py)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_every_attack_is_named_in_security():
    attacks = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/hostile").glob("test_*.py")}
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert [path for path in sorted(attacks - {"tests/hostile/test_promises.py"}) if path not in text] == []
