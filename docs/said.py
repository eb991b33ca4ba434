"""Reads out of the sources what errors say and advise, for the page on which each of them can be looked up."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_qwenimage import exceptions
from airflow_provider_qwenimage.exceptions import QwenImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(exceptions.__file__).parent
_ASIDE = {"simulator", "testing", "exceptions.py"}
_ANY = "…"  # stands for what only a running task knows
_FOUND_WRONG = "Finding"  # what a rule of the catalogue yields, and becomes an InvalidRequest
_CAUSE = "_Cause"  # a row of the table of refusals: what, advice, class


class Said(NamedTuple):
    """
    A message of one place in the sources.

    :param error: the name of the error's class.
    :param what: what happened.
    :param advice: what to do next.
    """

    error: str
    what: str
    advice: str


def kinds(below: type[QwenImageError] = QwenImageError) -> list[type[QwenImageError]]:
    """Return the errors of the tree, each before those below it."""
    known = [kind for kind in vars(exceptions).values() if isinstance(kind, type)]
    return [kind for kind in known if issubclass(kind, below) and kind is not below]


@cache
def said() -> tuple[Said, ...]:
    """Return what is said anywhere with an advice, each sentence once, in the order of the sources."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(_ROOT.rglob("*.py")) if _ours(path)]
    trees = [ast.parse(source) for source in sources]
    names = _names(trees)
    return tuple(dict.fromkeys(each for tree in trees for each in _said_in(tree, names)))


def _names(trees: list[ast.Module]) -> dict[str, str]:
    """Return under which error of the page each error is told: a form of one that only its module knows is that one."""
    names = {kind.__name__: kind.__name__ for kind in kinds()} | {_FOUND_WRONG: "InvalidRequest"}
    for node in (node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)):
        for base in filter(names.get, map(_name, node.bases)):
            names[node.name] = names[base]
    return names


def _ours(path: Path) -> bool:
    return path.relative_to(_ROOT).parts[0] not in _ASIDE


def _said_in(tree: ast.Module, names: dict[str, str]) -> Iterator[Said]:
    for function, call in _calls(tree):
        scope = _Scope(tree, function)
        name = _name(call.func)
        if name == _CAUSE:
            what, advice, error = call.args[:3]
            yield Said(_name(error), f"The gateway (HTTP …) {scope.text(what)}: …", scope.text(advice))
        elif name in names:
            yield from _raised(call, names[name], scope)


def _raised(call: ast.Call, error: str, scope: _Scope) -> Iterator[Said]:
    advice = next((word.value for word in call.keywords if word.arg == "advice"), None)
    if advice is None or not call.args:
        return
    pair = error in ("InvalidRequest", "BudgetExceeded") and len(call.args) > 1
    what = ": ".join(map(scope.text, call.args[:2])) if pair else scope.text(call.args[0])
    yield from (Said(error, what, text) for text in scope.texts(advice) if text.strip(f" {_ANY}"))


def _calls(tree: ast.Module) -> Iterator[tuple[ast.AST | None, ast.Call]]:
    """Yield every call with the function around it."""
    inside: dict[ast.AST, ast.AST] = {}
    for node in ast.walk(tree):  # the innermost function is walked last
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside.update(dict.fromkeys(ast.walk(node), node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield inside.get(node), node


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _assigned(nodes: Iterator[ast.AST]) -> dict[str, list[ast.expr]]:
    values: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
    return values


class _Scope:
    """What names stand for where a message is put together."""

    def __init__(self, tree: ast.Module, function: ast.AST | None) -> None:
        self._values: dict[str, list[ast.expr]] = {}
        self._values |= _assigned(ast.iter_child_nodes(tree))
        self._values |= _assigned(ast.walk(function)) if function else {}

    def text(self, node: ast.expr) -> str:
        """Return the first of ``texts``."""
        return self.texts(node)[0]

    def texts(self, node: ast.expr, depth: int = 4) -> list[str]:
        """Return what an expression may read, with ``…`` for what only a running task knows."""
        match node:
            case ast.Constant():
                found = [str(node.value)]
            case ast.JoinedStr():
                found = ["".join(self.texts(part, depth)[0] for part in node.values)]
            case ast.FormattedValue(value=ast.Name(id=name)) if name.isupper():
                found = self.texts(node.value, depth)
            case ast.BinOp(op=ast.Add()):
                found = [left + right for left in self.texts(node.left) for right in self.texts(node.right)]
            case ast.IfExp():
                found = self.texts(node.body, depth) + self.texts(node.orelse, depth)
            case ast.BoolOp():
                found = [text for value in node.values for text in self.texts(value, depth)]
            case ast.Call(func=ast.Attribute(attr="strip", value=text)):
                found = self.texts(text, depth)
            case ast.Name(id=name) if depth and name in self._values:
                found = [text for value in self._values[name] for text in self.texts(value, depth - 1)]
            case _:
                found = [_ANY]
        return found
