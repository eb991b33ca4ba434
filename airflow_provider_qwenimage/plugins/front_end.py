"""The files of the pages: a browser loads those of a version once, and all that a page needs at the same time."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

_FOLDER = files("airflow_provider_qwenimage.plugins") / "gallery"
_IMPORT = re.compile(r'from "\./([\w.-]+)"')
_SCRIPT = re.compile(r'type="module" src="static/([\w.-]+)"')
TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "txt": "text/plain"}


@cache
def contents() -> dict[str, bytes]:
    """Return the files by name."""
    return {
        entry.name: entry.read_bytes() for entry in sorted(_FOLDER.iterdir(), key=lambda entry: entry.name)
    }


@cache
def version() -> str:
    """Return a digest of the files: what lies below it never changes."""
    digest = hashlib.sha256()
    for name, content in contents().items():
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


@cache
def page(name: str) -> str:
    """Return a page that loads its files below their version, and its modules before they are asked for by others."""
    text = contents()[name].decode()
    modules = [module for script in _SCRIPT.findall(text) for module in _modules(script)]
    links = "".join(f'    <link rel="modulepreload" href="static/{module}" />\n' for module in modules)
    return text.replace("  </head>", f"{links}  </head>", 1).replace('"static/', f'"static/{version()}/')


def _modules(script: str) -> list[str]:
    """Return the modules that a script imports, and those that these import."""
    found = [script]
    for name in found:
        imported = _IMPORT.findall(contents()[name].decode())
        found += [other for other in dict.fromkeys(imported) if other not in found]
    return found[1:]
