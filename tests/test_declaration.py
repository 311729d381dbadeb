"""What a source file declares, against files written here."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Any, Literal, Union, get_args

import pytest

from cvbench.declaration import DeclarationError, mentions, read

SOURCE = '''"""One line: what it is.

Year: 2014
Source: A. Author and B. Author,
    "A long title", CVPR 2014
Licence: MIT
Tasks: segmentation, classification
Note: nothing that is read.

Year of the camera: 2013
"""
raise SystemExit("importing this would end the program")

VERSION = 3
NAMES: dict[str, int] = {"a": 1}
COMPUTED = len(NAMES)
a, b = 1, 2


def build(root, *, task: str, classes: Literal[11, 12] = 11, size: tuple[int, int] = (1, 2),
          shares: tuple[float, ...] = (), path: str | None = None, names: list[str] | None = None, scale: float = -1.5,
          nested=((1, 2), (3,)), needed: int, odd: "Path" = None, other: Path | None = None):
    pass


class Something:
    pass
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "entry.py"
    path.write_text(SOURCE)
    return path


def test_docstring_fields(file: Path) -> None:
    declared = read(file)
    assert declared.summary == "One line: what it is."
    assert declared.fields == {
        "Year": "2014",
        "Source": 'A. Author and B. Author, "A long title", CVPR 2014',
        "Licence": "MIT",
        "Tasks": "segmentation, classification",
    }


def test_literals_and_names_without_importing(file: Path) -> None:
    declared = read(file)
    assert declared.literals == {"VERSION": 3, "NAMES": {"a": 1}}
    assert declared.names == {"build", "Something"}
    assert mentions(file, "build")
    assert mentions(file, "VERSION")
    assert not mentions(file, "root")
    assert not mentions(file, "VERS")


def test_options_with_types_and_defaults(file: Path) -> None:
    options = read(file).options
    assert read(file).takes_task
    assert {name: option.default for name, option in options.items()} == {
        "classes": 11, "size": [1, 2], "shares": [], "path": None, "names": None, "scale": -1.5,
        "nested": [[1, 2], [3]], "needed": None, "odd": None, "other": None,
    }  # fmt: skip
    assert [name for name, option in options.items() if option.required] == ["needed"]
    types = {name: option.annotation for name, option in options.items()}
    assert types["classes"] == Literal[11, 12]
    assert types["size"] == tuple[int, int]
    assert types["shares"] == tuple[float, ...]
    assert types["path"] == Union[str, NoneType]  # noqa: UP007
    assert get_args(types["names"]) == (list[str], NoneType)
    assert types["nested"] is types["odd"] is Any


def test_a_file_without_anything(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("")
    declared = read(path)
    assert (declared.summary, declared.fields, declared.options, declared.takes_task) == ("", {}, {}, False)


def test_bad_files_are_named_with_their_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text('"""x"""\ndef build(:\n')
    with pytest.raises(DeclarationError, match=r"broken\.py:2: not valid Python"):
        read(broken)
    computed = tmp_path / "computed.py"
    computed.write_text("def build(info, *,\n          width=2 * N):\n    pass\n")
    with pytest.raises(DeclarationError, match=r"computed\.py:2: Expected a literal as default of 'width', but got 2"):
        read(computed)
