"""The page's text: what it shows, what it lets nobody do, and what it costs in bytes."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cvbench.board import Curve, Leaderboard, Picture
from cvbench.page import html, index
from cvbench.page.views import Fragments
from cvbench.page.webp import is_webp
from tests.boards import board, leaderboard, picture, row
from tests.page.nasty import NAMES, URL, everywhere

STATIC = Path(html.__file__).parent / "static"
# Every attribute that a page of ours may have: none of them runs anything.
ATTRIBUTES = frozenset(
    {
        *("alt", "aria-controls", "aria-hidden", "aria-label", "aria-labelledby", "aria-live", "aria-sort", "role"),
        *("autocomplete", "charset", "checked", "class", "colspan", "content", "data-first", "data-v", "href", "lang"),
        *("http-equiv", "id", "name", "open", "rel", "scope", "spellcheck", "src", "tabindex", "type", "value"),
        *("cx", "cy", "d", "fill", "height", "r", "rx", "viewbox", "width", "x", "y"),
    }
)


class Reader(HTMLParser):
    """Tags with their attributes, and the words between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._silent = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("style", "script"):
            self._silent = tag

    def handle_endtag(self, tag):
        if tag == self._silent:
            self._silent = ""

    def handle_data(self, data):
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def quick() -> Leaderboard:
    """As large as the quick suite: 5 boards, 18 rows, 15 classes, 25 epochs, no pictures."""
    names = tuple(f"class {number}" for number in range(15))
    curve = tuple(round(2 / (epoch + 1), 4) for epoch in range(25))
    epochs = tuple(float(epoch) for epoch in range(1, 26))
    curves = tuple(Curve(seed=seed, epochs=epochs, loss=curve, val=curve) for seed in range(3))
    boards = []
    for number, rows in enumerate((4, 4, 4, 3, 3)):
        values = dict.fromkeys(("iou", "accuracy")[: 1 + (number == 4)], (0.5,) * 15)
        made = (
            row(f"model {n}", 0.8 - n / 50, n + 1, curves=curves, pictures=(), per_class=values) for n in range(rows)
        )
        boards.append(board(tuple(made), classes=names, colours=None, task=f"task {number % 4}", dataset=f"d{number}"))
    return leaderboard(tuple(boards))


def test_all_that_a_row_has_is_said():
    words = Reader(html.render(leaderboard())).text
    for said in (
        *("80.00 ± 1.00", "[70.00, 85.00]‡", "1 (1–2)", "+10.00", "18 of 24", "baseline", "re-scored"),  # noqa: RUF001
        "not comparable with numbers on the whole data set",
        "Rank 1 is shared by unet and fcn",
        "Not in the numbers: linear , seeds 0, 1, 2 failed: LossIsNotFiniteError: the loss is nan at step 3",
        "a new run is the better of the two with probability 0.97",
        "cvbench run quick/segmentation",
        "Costs were measured with up to 2 runs at once",
        "Efron & Tibshirani 1993",
        *(
            "0123456789ab",
            "ba9876543210",
            "CC0 1.0",
            "000001000002",
            "a CPU",
            "3.11.9",
            "classification, over 2 boards",
        ),
    ):
        assert said in words


def test_a_missing_run_is_never_a_zero():
    page = html.render(leaderboard((board(),)))
    line = page[page.index('data-v="linear"') : page.index("</tbody>", page.index('data-v="linear"'))]
    cells = re.findall(r"<td([^>]*)>(.*?)</td>", line, flags=re.S)
    values = [re.search('data-v="([^"]*)"', attributes) for attributes, _ in cells]
    # nothing to sort by but how many runs have finished, and the origin
    assert [value[1] for value in values if value] == ["0", "reproduced"]
    assert [re.sub("<[^>]*>", "", cell).strip() for _, cell in cells][:4] == ["–", "–", "–", "0 of 3, 3 failed"]  # noqa: RUF001


def test_the_same_leaderboard_gives_the_same_page_and_no_date_stands_in_it():
    assert html.render(leaderboard()) == html.render(leaderboard())
    assert not re.search(r"20\d\d-\d\d-\d\d", html.render(leaderboard()))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_text_wherever_it_stands(name):
    for page in (html.render(everywhere(name)), index.render({f"a {name}": everywhere(name), "b": None})):
        found = Reader(page)
        assert {attribute for _, attributes in found.tags for attribute in attributes} <= ATTRIBUTES
        assert [tag for tag, _ in found.tags].count("script") == 1
        assert [tag for tag, _ in found.tags].count("style") == 1
        assert not [tag for tag, _ in found.tags if tag in ("iframe", "object", "embed", "form", "base", "b-")]
        assert "".join(name.split()) in "".join(found.text.split())
        for tag, attributes in found.tags:
            address = attributes.get("href") or attributes.get("src") or ""
            assert tag not in ("a", "img", "link") or address.startswith(
                ("#", "data:image/webp", "data:,", "a%20", "https://example.org/segnet")
            )


def test_only_addresses_of_the_web_become_links():
    good = "https://example.org/a?b=c&d=é"
    assert html.link(good) == good
    others = ("JaVaScRiPt:alert(1)", "data:text/html,x", "//example.org", "https:", "https:///x", "ftp://x.org/a", "")
    odd = (" https://x.org", "https://x.org/\njavascript:", "http://[x", 'https://x.org/"onclick="')
    for bad in (URL, *others, *odd):
        assert html.link(bad) is None
    page = html.render(leaderboard((board((row(url=URL, origin="self-reported"),)),)))
    assert URL in Reader(page).text
    assert "javascript:" not in "".join(
        value or "" for _, attributes in Reader(page).tags for value in attributes.values()
    )
    linked = html.render(leaderboard((board((row(url=good),)),)))
    (attributes,) = [found for tag, found in Reader(linked).tags if tag == "a" and found.get("rel")]
    assert attributes["href"] == good
    assert set((attributes["rel"] or "").split()) >= {"noopener", "noreferrer"}


def test_the_policy_allows_our_own_style_and_script_and_nothing_else():
    page = html.render(leaderboard())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.replace("&#39;", "'").split(";"))
    for name, rule in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{name}>(.*?)</{name}>", page, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules.pop(rule) == f"'sha256-{digest}'"
    assert rules == {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<script>")
    assert not re.search(r"@import|@font-face|url\(|https?://", (STATIC / "page.css").read_text())
    assert not re.search(
        r"fetch\(|XMLHttp|import\(|https?:|innerHTML|eval|insertAdjacent", (STATIC / "page.js").read_text()
    )


def test_script_and_page_stay_small():
    assert len((STATIC / "page.js").read_bytes()) < 10_000
    assert len(html.render(quick()).encode()) < 300_000


def test_only_webp_is_drawn():
    good = picture().webp
    assert is_webp(good)
    data = base64.b64decode(good)
    wrong = {
        "png": base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode(),
        "cut": base64.b64encode(data[:-2]).decode(),
        "longer": base64.b64encode(data + b"<svg>").decode(),
        "riff of sound": base64.b64encode(data[:8] + b"WAVE" + data[12:]).decode(),
        "spaces": good[:20] + "\n" + good[20:],
        "out of an attribute": good + '"onerror="alert(1)',
        "unpadded": good.rstrip("=") + "A" if good.endswith("=") else good + "A",
        "empty": "",
    }
    for encoded in wrong.values():
        assert not is_webp(encoded)
        bad = Picture(sample="test/0009", kind="hard", score=0.1, webp=encoded)
        page = html.render(leaderboard((board((row(pictures=(bad, picture())),)),)))
        assert [found["src"] for tag, found in Reader(page).tags if tag == "img"] == [f"data:image/webp;base64,{good}"]
        assert "is no WebP picture" in Reader(page).text


def test_pictures_of_data_that_are_not_to_be_passed_on_are_not_shown():
    assert "<img" in html.render(leaderboard((board(),)))
    page = html.render(leaderboard((board(redistributable=False),)))
    assert "<img" not in page
    assert "these data are not to be passed on" in Reader(page).text


def test_many_classes_leave_the_lowest():
    names = tuple(f"class {number}" for number in range(100))
    values = (None, *(number / 100 for number in range(99, 0, -1)))
    page = Reader(
        html.render(leaderboard((board((row(per_class={"iou": values}),), classes=names, colours=None),)))
    ).text
    assert "class 99 1.00" in page
    assert "class 59 " not in page
    assert "the lowest; all are in board.json" in page


def test_fragments_are_readable_and_never_double():
    fragments = Fragments()
    assert fragments.of("Detection", "voc 2012") == "detection-voc-2012"
    assert fragments.of("detection voc", "2012") == "detection-voc-2012-2"
    assert [fragments.of("長い"), fragments.of("<>")] == ["row", "row-2"]
    ids = [
        found["id"] for _, found in Reader(html.render(leaderboard((board(), board(), board())))).tags if "id" in found
    ]
    assert len(set(ids)) == len(ids)


def test_every_link_and_label_within_the_page_has_its_goal():
    tags = Reader(html.render(leaderboard())).tags
    ids = {found["id"] for _, found in tags if "id" in found}
    for _, found in tags:
        assert not (found.get("href") or "").startswith("#") or found["href"].removeprefix("#") in ids
        for name in ("aria-labelledby", "aria-controls"):
            assert name not in found or found[name] in ids


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_words_are_legible(scheme):
    """Contrast of at least 4.5 (WCAG 2.1, 1.4.3, AA) on each ground, of lines and dots at least 3 (1.4.11)."""
    style = (STATIC / "page.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, flags=re.S)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light))
    if scheme == "dark":
        assert set(colours) == set(dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", dark)))
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", dark))

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(colours[one]), luminance(colours[other])))
        return (high + 0.05) / (low + 0.05)

    for ground in ("paper", "soft", "tie"):
        for words in ("ink", "dim", "accent", "warn"):
            assert contrast(words, ground) >= 4.5, (words, ground)
    for drawn in ("dot", "behind", "base", "s0", "s1", "s2", "s3", "s4"):
        assert contrast(drawn, "paper") >= 3, drawn
