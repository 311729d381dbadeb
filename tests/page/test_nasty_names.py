"""Names that would do harm stay names in Markdown, CSV and SVG; the page's own are in test_html.py."""

from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from cvbench.page import markdown, svg, table_csv
from tests.page.nasty import NAMES, everywhere


@pytest.mark.parametrize("name", NAMES)
def test_markdown_has_no_link_picture_or_tag_of_theirs(name):
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown.render(everywhere(name)))
    every = [part for token in tokens for part in [token, *(token.children or [])]]
    assert not {part.type for part in every} & {"link_open", "image", "s_open"}
    tags = "".join(part.content for part in every if part.type in ("html_block", "html_inline"))
    assert set(re.findall(r"<(/?\w+)", tags)) <= {"details", "/details", "summary", "/summary"}
    words = "".join(part.content for part in every if not part.children)
    assert "".join(name.split()) in "".join(words.split())


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_of_the_csv_is_a_formula(name):
    rows = list(csv.reader(io.StringIO(table_csv.render(everywhere(name)))))
    cells = [cell for row in rows for cell in row]
    assert any(cell.removeprefix("'") == name for cell in cells)
    numbers = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell and not numbers.fullmatch(cell)]


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_stays_a_picture(name):
    root = ElementTree.fromstring(svg.render(everywhere(name)))
    tags = {part.tag.partition("}")[2] for part in root.iter()}
    assert tags == {"svg", "title", "style", "rect", "path", "text"}
    assert name in "".join(part.text or "" for part in root.iter())
