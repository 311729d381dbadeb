"""What a Python file declares, read by `ast` without importing it: docstring fields, literals, options of `build`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, Union

_FIELDS = ("Year", "Source", "Licence", "Tasks")
_SIMPLE: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}
_GENERIC: dict[str, Any] = {"tuple": tuple, "list": list, "Sequence": list, "dict": dict, "Mapping": dict}


class DeclarationError(ValueError):
    """A catalog file that does not keep to the form in which names, versions and options are declared."""


@dataclass(frozen=True)
class Option:
    """A keyword-only argument of a `build`: its annotation as a type, and its literal default as JSON has it."""

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


def mentions(file: Path, name: str) -> bool:
    """Whether a file's text defines `name` at the top level: much cheaper to ask than parsing it."""
    return re.search(rf"^(def {name}\(|{name}\b)", file.read_text(encoding="utf-8"), re.MULTILINE) is not None


@cache
def read(file: Path) -> Declaration:
    """Parses one source file. Raises DeclarationError (file:line) for what is not Python or not in the agreed form."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except SyntaxError as error:
        raise DeclarationError(f"{file}:{error.lineno}: not valid Python: {error.msg}") from error
    definitions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    summary, fields = _docstring(ast.get_docstring(tree) or "")
    build = definitions.get("build")
    arguments = build.args if isinstance(build, ast.FunctionDef) else None
    return Declaration(
        summary=summary,
        fields=fields,
        literals=_literals(tree),
        names=frozenset(definitions),
        options=_options(arguments, file) if arguments else {},
        takes_task=arguments is not None and any(argument.arg == "task" for argument in arguments.kwonlyargs),
    )


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """(first line, fields); a field goes on over indented lines."""
    first, _, rest = text.partition("\n")
    fields = {}
    for match in re.finditer(rf"^({'|'.join(_FIELDS)}):((?:.*)(?:\n[ \t]+\S.*)*)", rest, re.MULTILINE):
        fields[match[1]] = " ".join(match[2].split())
    return first.strip(), fields


def _literals(tree: ast.Module) -> dict[str, Any]:
    """Module-level `NAME = literal` assignments."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and node.value is not None:
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def _options(arguments: ast.arguments, file: Path) -> dict[str, Option]:
    options = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if argument.arg == "task":  # given by the harness, to files that serve several tasks
            continue
        try:
            value = ast.literal_eval(default) if default is not None else None
        except ValueError:
            rule = f"Expected a literal as default of {argument.arg!r}, but got {ast.unparse(default or argument)}"
            raise DeclarationError(f"{file}:{argument.lineno}: {rule}; `plan` reads it unimported") from None
        options[argument.arg] = Option(_annotation(argument.annotation), _as_json(value), default is None)
    return options


def _as_json(value: Any) -> Any:
    """Tuples as lists, however deep: what YAML and records hold."""
    if isinstance(value, tuple | list):
        return [_as_json(item) for item in value]
    return {key: _as_json(item) for key, item in value.items()} if isinstance(value, dict) else value


def _annotation(node: ast.expr | None) -> Any:
    """A type from the small language that options are annotated in: simple types, `|`, tuple/list/dict, Literal.

    Whatever else stands there becomes Any: such an option is not checked.
    """
    if isinstance(node, ast.Constant) and node.value is None:
        return NoneType
    if isinstance(node, ast.Name):
        return _SIMPLE.get(node.id) or _GENERIC.get(node.id, Any)
    if isinstance(node, ast.BinOp):
        return Union[_annotation(node.left), _annotation(node.right)]  # noqa: UP007  (built from values)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return Literal[tuple(ast.literal_eval(item) for item in inner)]
        parts = tuple(... if isinstance(i, ast.Constant) and i.value is ... else _annotation(i) for i in inner)
        return _GENERIC[node.value.id][parts] if node.value.id in _GENERIC else Any
    return Any


def version_of(file: Path | None) -> int | None:
    """`VERSION = 2` in somebody's own file, which may be anything else; read anew each time, since it may change."""
    try:
        statements = ast.parse(file.read_bytes()).body if file is not None else []
    except (OSError, SyntaxError, ValueError):
        return None
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id="VERSION")], value=ast.Constant(value=int(version))):
                return version
            case ast.AnnAssign(target=ast.Name(id="VERSION"), value=ast.Constant(value=int(version))):
                return version
    return None
