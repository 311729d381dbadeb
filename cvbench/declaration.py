"""Reading what a Python file declares, by `ast`, without importing it: docstring fields, literals, options of `build`."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, Union

_FIELDS = ("Year", "Source", "Licence", "Tasks")
_SIMPLE = {"int": int, "float": float, "bool": bool, "str": str, "Any": Any}
_GENERIC = {"tuple": tuple, "list": list, "Sequence": list, "dict": dict, "Mapping": dict}


@dataclass(frozen=True)
class Option:
    """A keyword-only argument of a `build`: its annotation as a type, and its literal default."""

    annotation: Any
    default: Any
    required: bool


@dataclass(frozen=True)
class Declaration:
    """What one file says of itself. takes_task: its `build` asks for the task, because it serves several."""

    summary: str
    fields: dict[str, str]
    literals: dict[str, Any]
    names: frozenset[str]
    options: dict[str, Option]
    takes_task: bool


@cache
def read(file: Path) -> Declaration:
    """Parses one source file. Raises SyntaxError as Python does."""
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    definitions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    summary, fields = _docstring(ast.get_docstring(tree) or "")
    build = definitions.get("build")
    arguments = build.args if isinstance(build, ast.FunctionDef) else None
    return Declaration(
        summary=summary,
        fields=fields,
        literals=_literals(tree),
        names=frozenset(definitions),
        options=_options(arguments) if arguments else {},
        takes_task=arguments is not None and any(argument.arg == "task" for argument in arguments.kwonlyargs),
    )


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    lines = text.splitlines()
    fields = {}
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        if colon and key in _FIELDS:
            fields[key] = value.strip()
    return (lines[0].strip() if lines else ""), fields


def _literals(tree: ast.Module) -> dict[str, Any]:
    """Module-level `NAME = literal` assignments."""
    found = {}
    for node in tree.body:
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(target, ast.Name) and value is not None:
            try:
                found[target.id] = ast.literal_eval(value)
            except ValueError:
                continue
    return found


def _options(arguments: ast.arguments) -> dict[str, Option]:
    options = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if argument.arg == "task":  # given by the harness, to files that serve several tasks
            continue
        value = ast.literal_eval(default) if default is not None else None
        options[argument.arg] = Option(
            _annotation(argument.annotation), list(value) if isinstance(value, tuple) else value, default is None
        )
    return options


def _annotation(node: ast.expr | None) -> Any:
    """A type from the small language that options are annotated in: simple types, `|`, tuple/list/dict, Literal."""
    if node is None:
        return Any
    if isinstance(node, ast.Constant):
        return NoneType if node.value is None else node.value
    if isinstance(node, ast.Name):
        return _SIMPLE.get(node.id) or _GENERIC.get(node.id, Any)
    if isinstance(node, ast.BinOp):
        return Union[_annotation(node.left), _annotation(node.right)]  # noqa: UP007  (built from values)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return Literal[tuple(ast.literal_eval(item) for item in inner)]  # type: ignore[valid-type]
        parts = tuple(
            ... if isinstance(item, ast.Constant) and item.value is ... else _annotation(item) for item in inner
        )
        return _GENERIC[node.value.id][parts] if node.value.id in _GENERIC else Any
    return Any
