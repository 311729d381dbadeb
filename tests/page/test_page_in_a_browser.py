"""The page in a real browser, without a window: what keys, clicks, media and names do to it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cvbench.board import Interval
from cvbench.page.files import publish
from cvbench.page.index import write_index
from tests.boards import board, leaderboard, row
from tests.page.browser import Browser, missing, start
from tests.page.nasty import NAMES, URL, everywhere


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Boards as published: the usual one, one with eleven rows, one with names that would do harm."""
    root = tmp_path_factory.mktemp("boards")
    publish(leaderboard(), root / "usual")
    rows = [row(f"m{n}", n / 20, n, interval=Interval(low=n / 20 - 0.01, high=n / 20 + 0.01)) for n in (10, 9, 2, 1)]
    publish(leaderboard((board((*rows, row("none", None, 11))),)), root / "long")
    for number, name in enumerate(NAMES):
        publish(everywhere(name), root / f"nasty{number}")
    write_index(root)
    return root


@pytest.fixture(scope="module")
def started(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if lacking := missing():
        if os.environ.get("CVBENCH_REQUIRE_DATA"):  # CI, where a skip must not look like a pass
            pytest.fail(lacking)
        pytest.skip(lacking)
    driver = start(tmp_path_factory.mktemp("profile"))
    try:
        driver.get("about:blank")  # the browser's own first page fetches its own parts
        yield Browser(driver, folder)
    finally:
        driver.quit()


@pytest.fixture
def browser(started: Browser) -> Iterator[Browser]:
    """After each test: nothing on the console, and nothing asked for but our own files."""
    for log in ("browser", "performance"):
        started.driver.get_log(log)
    yield started
    assert started.driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in started.driver.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if not url.startswith((started.folder.as_uri(), "data:", "about:", "chrome:"))] == []


def button(browser: Browser, head: str) -> Any:
    return next(found for found in browser.all(".ranks thead button") if found.text.split(" ")[0] == head)


def sorted_by(browser: Browser) -> list[tuple[str, str]]:
    heads = browser.all(".ranks thead th[aria-sort]")
    return [(head.find_element("css selector", ".sort").text, head.get_attribute("aria-sort")) for head in heads]


def test_columns_sort_both_ways_by_number_and_what_is_missing_stays_last(browser: Browser) -> None:
    browser.open("long/index.html")
    assert browser.models() == ["m10", "m9", "m2", "m1", "none"]
    assert sorted_by(browser) == [("rank", "ascending")]
    button(browser, "params").click()  # 1M, 2M, 9M, 10M: as words 10.0M would come before 2.00M
    assert browser.models() == ["m1", "m2", "m9", "m10", "none"]
    assert sorted_by(browser) == [("params", "ascending")]
    button(browser, "params").click()
    assert browser.models() == ["m10", "m9", "m2", "m1", "none"]
    assert sorted_by(browser) == [("params", "descending")]
    button(browser, "top1").click()  # where more is better, the best come first
    assert browser.models() == ["m10", "m9", "m2", "m1", "none"]
    button(browser, "top1").click()
    assert browser.models() == ["m1", "m2", "m9", "m10", "none"]
    button(browser, "model").click()
    assert browser.models() == ["m1", "m2", "m9", "m10", "none"]


def test_columns_sort_by_keyboard(browser: Browser) -> None:
    browser.open("long/index.html")
    for key in ("\ue007", " "):  # Enter, space
        button(browser, "train").send_keys(key)
    assert sorted_by(browser) == [("train", "descending")]
    assert browser.models()[0] == "m10"


def test_the_filter_leaves_the_rows_with_every_word_and_tells_how_many(browser: Browser) -> None:
    browser.open("long/index.html")
    told = browser.one(".count")
    assert (told.get_attribute("aria-live"), told.text) == ("polite", "")
    browser.one(".filter").send_keys("M1")
    assert browser.models() == ["m10", "m1"]
    assert told.text == "2 of 5 models"
    browser.one(".filter").send_keys(" 100M")
    assert browser.models() == ["m10"]
    browser.one(".filter").send_keys(" nothing")
    assert (browser.models(), told.text) == ([], "0 of 5 models")
    browser.one(".filter").clear()
    browser.one(".filter").send_keys(" ")
    assert len(browser.models()) == 5


def shown(browser: Browser) -> list[str]:
    return [panel.get_attribute("id") for panel in browser.all(".panel") if panel.is_displayed()]


def test_tabs_by_mouse_and_keys(browser: Browser) -> None:
    browser.open()
    first, second = browser.all("[role=tab]")
    assert (first.get_attribute("aria-selected"), second.get_attribute("aria-selected")) == ("true", "false")
    assert shown(browser) == ["task-classification"]
    second.click()
    assert shown(browser) == ["task-detection"]
    assert browser.driver.current_url.endswith("#task-detection")
    for key, name in (("\ue012", "classification"), ("\ue012", "detection"), ("\ue011", "classification"),
                      ("\ue010", "detection"), ("\ue014", "classification")):  # fmt: skip
        browser.focused().send_keys(key)  # left, left round the corner, Home, End, right round the corner
        assert shown(browser) == [f"task-{name}"]
        assert browser.focused().text == name
    panel = browser.one("#task-classification")
    assert (panel.get_attribute("role"), panel.get_attribute("aria-labelledby")) == (
        "tabpanel",
        browser.focused().get_attribute("id"),
    )
    assert browser.run("document.querySelectorAll('[role=tab][tabindex=\"0\"]').length") == 1


def test_a_card_opens_by_keyboard_and_by_its_fragment(browser: Browser) -> None:
    browser.open()
    card = browser.one("#classification-streets-fcn")
    assert not card.get_property("open")
    browser.run("arguments[0].focus()", card.find_element("css selector", "summary"))
    browser.focused().send_keys("\ue007")
    assert card.get_property("open")
    assert card.find_element("css selector", ".curves .chart").is_displayed()
    assert card.find_element("css selector", ".again code").text == "cvbench run quick/segmentation"
    browser.open("usual/index.html#detection-voc-segnet")
    assert shown(browser) == ["task-detection"]
    assert browser.one("#detection-voc-segnet").get_property("open")
    assert browser.focused().text.startswith("▾") or "segnet" in browser.focused().text
    browser.open()
    browser.one("a[href='#classification-streets-unet']").send_keys("\ue007")
    assert browser.one("#classification-streets-unet").get_property("open")


@pytest.mark.parametrize(("clipboard", "said"), [("{writeText: async text => { copied = text }}", "Copied"),
                                                 ("undefined", "Selected")])  # fmt: skip
def test_a_command_is_copied_or_else_selected(browser: Browser, clipboard: str, said: str) -> None:
    browser.open("usual/index.html#classification-streets-unet")
    browser.driver.execute_script(f"copied = ''; Object.defineProperty(navigator, 'clipboard', {{value: {clipboard}}})")
    copy = browser.one("#classification-streets-unet .copy")
    copy.click()
    browser.driver.execute_async_script("setTimeout(arguments[0], 50)")
    assert copy.text == said
    assert browser.run("copied || getSelection().toString()") == "cvbench run quick/segmentation"


def test_colours_follow_the_scheme(browser: Browser) -> None:
    colours = []
    for dark in (False, True):
        browser.open(dark=dark)
        colours.append(
            [browser.run(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")]
        )
        dot = browser.run("getComputedStyle(document.querySelector('.dot')).fill")
        colours[-1].append(dot)
    assert colours == [
        ["rgb(255, 255, 255)", "rgb(27, 31, 36)", "rgb(31, 95, 174)"],
        ["rgb(16, 20, 24)", "rgb(232, 236, 240)", "rgb(130, 181, 242)"],
    ]


@pytest.mark.parametrize("page", ["usual/index.html", "long/index.html", "index.html", "nasty0/index.html"])
@pytest.mark.parametrize("width", [360, 2000])
def test_the_page_never_scrolls_sideways_and_its_tables_do_by_keyboard(browser: Browser, page: str, width: int) -> None:
    browser.open(page, width=width)
    browser.run("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    for region in browser.all(".scroll"):
        if region.is_displayed() and region.get_property("scrollWidth") > region.get_property("clientWidth"):
            assert region.get_attribute("tabindex") == "0"
            assert region.accessible_name
    if width == 360 and page == "usual/index.html":
        region = browser.one(".ranks").find_element("xpath", "..")
        region.send_keys("\ue014")
        browser.driver.execute_async_script("setTimeout(arguments[0], 300)")
        assert region.get_property("scrollLeft") > 0


@pytest.mark.parametrize("script", [True, False])
def test_paper_shows_all_tabs_cards_and_fronts_and_no_controls(browser: Browser, script: bool) -> None:
    browser.open(media="print", script=script)
    browser.command("Emulation.setScriptExecutionDisabled", value=False)
    assert shown(browser) == ["task-classification", "task-detection"]
    assert all(figure.is_displayed() for figure in browser.all(".pareto figure"))
    for selector in (".spec", ".curves", ".classes", ".again code", ".tiles img"):
        seen = browser.run(f"[...document.querySelectorAll('{selector}')].map(each => each.checkVisibility())")
        assert seen
        assert all(seen)
    for selector in (".tabs", ".tools", ".choice", ".copy"):
        assert not any(control.is_displayed() for control in browser.all(selector))
    assert browser.run(
        "[...document.querySelectorAll('.scroll')].every(e => getComputedStyle(e).overflowX == 'visible')"
    )


def test_all_can_be_read_without_script(browser: Browser) -> None:
    browser.open(script=False)
    browser.command("Emulation.setScriptExecutionDisabled", value=False)  # to ask the page; its own has not run
    assert not browser.run("document.documentElement.classList.contains('js')")
    assert shown(browser) == ["task-classification", "task-detection"]
    assert not browser.all("thead button, [role=tab], .copy")
    assert not any(control.is_displayed() for control in browser.all(".filter"))
    browser.one("#detection-voc-fcn summary").click()
    assert browser.one("#detection-voc-fcn .spec").is_displayed()
    figures = browser.all("#classification-streets .pareto figure")
    assert [figure.is_displayed() for figure in figures] == [True, False, False, False]
    browser.all("#classification-streets .choice input")[2].click()
    assert [figure.is_displayed() for figure in figures] == [False, False, True, False]


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a_name_is_shown_as_text_and_runs_nothing(browser: Browser, number: int) -> None:
    browser.open(f"nasty{number}/index.html")
    name = NAMES[number]
    assert browser.run("[...document.querySelectorAll('.ranks th.model bdi')][0].textContent") == name
    assert browser.run("document.title") == " ".join(f"{name} · cvbench".split())
    titles = browser.run("[...document.querySelectorAll('svg title')].map(each => each.textContent)")
    assert any(name in title for title in titles)
    assert browser.run("document.scripts.length") == 1
    assert (
        browser.run("document.querySelectorAll('iframe, object, embed, form, img:not([src^=\"data:\"])').length") == 0
    )
    assert browser.run("[...document.links].filter(each => each.protocol == 'javascript:').length") == 0
    assert URL in browser.run("document.body.textContent")
    marks = browser.run("[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())")
    assert not [mark for mark in marks if mark.startswith("on") or mark == "style"]


def test_the_policy_stops_what_is_not_ours(started: Browser) -> None:
    """So that a console without a word about it means something."""
    started.open()
    started.driver.execute_script(
        """
        const script = document.createElement("script"), image = document.createElement("img");
        script.textContent = "document.title = 'gone'";
        image.src = "https://example.org/x.png";
        document.body.append(script, image);
        """
    )
    started.driver.execute_async_script("setTimeout(arguments[0], 100)")
    said = " ".join(entry["message"] for entry in started.driver.get_log("browser"))
    assert len(re.findall("violates the following Content Security Policy", said)) == 2
    assert started.run("document.title") != "gone"


def test_roles_names_and_headings(browser: Browser) -> None:
    browser.open("usual/index.html#classification-streets-unet")
    levels = [
        int(level) for level in browser.run("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => e.tagName[1])")
    ]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for selector in ("header", "main", "footer", "nav"):
        assert len(browser.all(f"body > {selector}, main > {selector}")) == 1
    for element in browser.all("button, a, input, [role=img], [role=region], table"):
        if element.is_displayed():
            assert element.accessible_name.strip(), element.get_attribute("outerHTML")
    browser.run("document.querySelector('.filter').focus()")
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_list_of_suites_leads_to_their_boards(browser: Browser) -> None:
    browser.open("index.html")
    browser.one("a[href='usual/index.html#detection-voc']").click()
    assert shown(browser) == ["task-detection"]
