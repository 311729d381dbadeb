"""Reading YAML: values as YAML 1.2's core schema has them, lines, and every kind of bad file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cvbench.yamlfile import SpecError, parse_value, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("2E+3", 2000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("no", "no"),
        ("Yes", "Yes"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("2020-01-01", "2020-01-01"),
        ("1:30", "1:30"),
        ("[0, 1]", [0, 1]),
        ("{a: [x, 1e2]}", {"a": ["x", 100.0]}),
        ("!!str 5", "5"),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_lines_of_keys_and_items() -> None:
    document = parse_yaml(
        "# a comment\ntask: x\nmodels:\n  - a\n  - name: b\n    options: {c: 1,\n      d: 2}\n", "f.yaml"
    )
    assert document.data == {"task": "x", "models": ["a", {"name": "b", "options": {"c": 1, "d": 2}}]}
    assert document.line(("task",)) == 2
    assert document.line(("models", 0)) == 4
    assert document.line(("models", 1, "options", "d")) == 7
    # what does not stand in the file is told at the nearest thing around it
    assert document.line(("models", 1, "weights")) == 5
    assert document.line(("seeds",)) == 1
    assert str(document.problem(("models", 1, "weights"), "is missing")) == "f.yaml:5: is missing"


def test_anchors_and_aliases_are_copies() -> None:
    document = parse_yaml("a: &one {x: [1]}\nb: *one\n", "f")
    assert document.data == {"a": {"x": [1]}, "b": {"x": [1]}}
    assert document.data["a"] is not document.data["b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1,\nb: 2", "f:2: not valid YAML"),
        ("a: b: c", "f:1: not valid YAML: mapping values are not allowed here"),
        ("x: 1\n\ty: 2", "f:2: not valid YAML"),
        ("a: 1\n---\nb: 2", "f:2: not valid YAML"),
        ("a: *b", "f:1: not valid YAML: found undefined alias 'b'"),
        ("a: 'x", "f:1: not valid YAML"),
        ("a: \x00", "f: not valid YAML: unacceptable character"),
        ("[" * 5000, "f: "),
        ("a: 1\nb: 2\na: 3", "f:3: the key 'a' stands twice, first in line 1"),
        ('1: x\n"1": y', "f:2: the key '1' stands twice, first in line 1"),
        ("[a]: 1", "f:1: Expected a plain key, but got a list or mapping"),
        ("a: &a {x: 1}\nb:\n  <<: *a", "f:3: Expected a plain key, but got `<<`"),
        ("a: !thing 3", "f:1: the tag !thing is not allowed"),
        ("a: !!binary aGk=", "f:1: the tag !!binary is not allowed"),
        ("a: !!set {x}", "f:1: the tag !!set is not allowed"),
        ("!x [1]", "f:1: the tag !x is not allowed"),
        ("a: !!int [1]", "f:1: the tag !!int is not allowed"),
        ("!!map [1]", "f:1: the tag !!map is not allowed"),
        ("a: !!int five", "f:1: Expected an integer, but got 'five'"),
        ("a: 1\nb: .nan", "f:2: Expected a finite number, but got .nan"),
        ("a: -.INF", "f:1: Expected a finite number, but got -.INF"),
        ("a: 1e999", "f:1: Expected a finite number, but got 1e999"),
        ("a: &a [*a]", "f:1: an alias stands inside what it names"),
    ],
)
def test_bad_yaml_is_named_with_its_line(text: str, expected: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_yaml(text, "f")
    assert str(raised.value).startswith(expected)


def test_all_duplicates_and_tags_are_told_at_once() -> None:
    with pytest.raises(SpecError) as raised:
        parse_yaml("a: 1\na: 2\nb: !x 1\nc: {d: .inf, d: 2}\n", "f")
    assert [problem.line for problem in raised.value.problems] == [2, 3, 4, 4]


def test_tags_build_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for tag in ("!!python/object/apply:os.mkdir", "tag:yaml.org,2002:python/object/apply:os.mkdir"):
        with pytest.raises(SpecError):
            parse_yaml(f"a: !<{tag}> ['{made}']" if tag.startswith("tag") else f"a: {tag} ['{made}']", "f")
    assert not made.exists()


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(SpecError, match="Expected at most"):
        parse_yaml("\n".join(lines), "f")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("task: x\ntitle: été\n".encode("latin-1"))
    with pytest.raises(SpecError, match=r"latin\.yaml:2: cannot be read: Expected UTF-8 text, but byte 15 is 0xe9"):
        read_yaml(latin)
    with pytest.raises(SpecError, match=r"gone\.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "gone.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        read_yaml(tmp_path)


def test_a_byte_order_mark_and_windows_lines_do_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbftask: x\r\nseeds: [0]\r\n")
    document = read_yaml(file)
    assert document.data == {"task": "x", "seeds": [0]}
    assert document.line(("seeds",)) == 2


def test_an_empty_file_is_none(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("# nothing\n")
    assert read_yaml(file).data is None
