"""The list of all suites in a folder."""

from __future__ import annotations

from cvbench.page.files import check_all, publish
from cvbench.page.index import suites_below, write_index
from tests.boards import board, leaderboard
from tests.page.test_html import Reader


def test_it_lists_every_suite_with_its_best_rows(tmp_path):
    publish(leaderboard(title="First"), tmp_path / "first")
    publish(leaderboard((board(official_sizes={}),), title="Second"), tmp_path / "deep" / "second one")
    path = write_index(tmp_path)
    assert path == tmp_path / "index.html"
    found = Reader(path.read_text(encoding="utf-8"))
    words = found.text
    assert words.index("Second") < words.index("First")  # by folder
    assert "classification and detection · 2 boards · 4 models" in words
    assert "unet , fcn (tied) top1 % ↑ 80.00 [77.00, 83.00] 4 9 of 12" in words
    assert words.count("a pack: 400 of 4,000 train") == 2
    links = [attributes["href"] for tag, attributes in found.tags if tag == "a"]
    assert "deep/second%20one/index.html#classification-streets" in links
    for link in links:
        if not link.startswith("#"):
            assert (tmp_path / link.partition("#")[0].replace("%20", " ")).is_file()


def without_differences():
    """The made-up board's differences to its baseline do not follow from its means, which `check_all` would find."""
    plain = leaderboard()
    boards = [
        board.model_copy(update={"rows": tuple(row.model_copy(update={"versus_baseline": None}) for row in board.rows)})
        for board in plain.boards
    ]
    return plain.model_copy(update={"boards": tuple(boards)})


def test_it_follows_from_the_boards_byte_for_byte(tmp_path):
    publish(without_differences(), tmp_path / "first")
    write_index(tmp_path)
    assert check_all(tmp_path) == []
    publish(without_differences().model_copy(update={"title": "another"}), tmp_path / "second")
    (problem,) = check_all(tmp_path)
    assert problem.startswith(f"{tmp_path / 'index.html'}:")
    write_index(tmp_path)
    assert check_all(tmp_path) == []


def test_lists_further_down_are_checked_too(tmp_path):
    publish(without_differences(), tmp_path / "deep" / "first")
    write_index(tmp_path / "deep")
    write_index(tmp_path)
    assert check_all(tmp_path) == []
    (tmp_path / "deep" / "index.html").write_text("by hand")
    (problem,) = check_all(tmp_path)
    assert problem.startswith(f"{tmp_path / 'deep' / 'index.html'}:1: ")


def test_a_damaged_board_is_listed_as_that_and_stops_nothing(tmp_path):
    publish(leaderboard(), tmp_path / "first")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "board.json").write_text("{")
    assert suites_below(tmp_path)["torn"] is None
    assert write_index(tmp_path) is not None
    assert "torn Its board.json cannot be read" in Reader((tmp_path / "index.html").read_text()).text


def test_no_list_where_there_is_nothing_to_list(tmp_path):
    assert write_index(tmp_path) is None
    publish(leaderboard(), tmp_path)
    page = (tmp_path / "index.html").read_bytes()
    assert write_index(tmp_path) is None  # it would overwrite the board's own page
    publish(leaderboard(), tmp_path / "below")
    assert write_index(tmp_path) is None
    assert (tmp_path / "index.html").read_bytes() == page
