"""What must not be in the package, by its syntax tree: shells, code from strings, readers that run pickles."""

from __future__ import annotations

import ast
from collections.abc import Iterator

# call -> why it is forbidden; names are resolved through the file's imports
FORBIDDEN = {
    **dict.fromkeys(("eval", "exec", "compile", "builtins.eval", "builtins.exec"), "runs text as code"),
    **dict.fromkeys(
        ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
         "asyncio.create_subprocess_shell"),
        "gives a string to a shell",
    ),
    **dict.fromkeys(
        ("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "dill.load",
         "dill.loads", "joblib.load", "cloudpickle.load", "cloudpickle.loads", "pandas.read_pickle"),
        "runs what a pickle says",
    ),
    **dict.fromkeys(("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"), "builds what a tag says"),
    **dict.fromkeys(("shutil.unpack_archive",), "trusts the names in an archive"),
    **dict.fromkeys(("tempfile.mktemp",), "names a file that somebody else may make first"),
}  # fmt: skip
_PROCESSES = {f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")}
_TRUSTING_METHODS = {"extractall", "extract"}


def dangers(source: str) -> list[str]:
    """`line: what`, for each place that is not allowed."""
    tree = ast.parse(source)
    names = dict(_imported(tree))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [f"{call.lineno}: {what}" for call in calls for what in _wrong(call, names)]


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """local name -> what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or whole, whole
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _called(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_called(node.value, names)}.{node.attr}"
    return "?"


def _wrong(call: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = _called(call.func, names)
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    if name in FORBIDDEN:
        yield f"{name} {FORBIDDEN[name]}"
    if "shell" in given and not _is(given["shell"], False):
        yield "shell= gives a string to a shell"
    first = call.args[0] if call.args else given.get("args")
    if name in _PROCESSES and not isinstance(first, ast.List | ast.Name | ast.Attribute | ast.BinOp):
        yield f"{name} without a list of arguments"
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if "allow_pickle" in given and not _is(given["allow_pickle"], False):
        yield "allow_pickle"
    typ = given.get("typ")
    if name == "ruamel.yaml.YAML" and not (isinstance(typ, ast.Constant) and typ.value == "safe"):
        yield "a YAML loader that is not safe"
    if name.endswith("jinja2.Environment") and not ("autoescape" in given and not _is(given["autoescape"], False)):
        yield "jinja2 without autoescape"
    if isinstance(call.func, ast.Attribute) and call.func.attr in _TRUSTING_METHODS and not name.startswith("re."):
        yield f".{call.func.attr} trusts the names in an archive"
    if name == "__import__":
        yield "__import__"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
