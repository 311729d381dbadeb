"""A captioner from YAML to its record, its captions in the hands of others, and what becomes of wrong wishes."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.arrays import load_arrays
from cvbench.cli import main
from cvbench.data import streets
from cvbench.language.tokenizer import tokens
from cvbench.language.vocabulary import SPECIAL, from_text
from cvbench.record import Record, load_records
from tests.data.captioned import draw, write

OPTIONS = {"height": 32, "width": 32, "train": 24, "val": 6, "test": 9}
STREETS = {"name": "streets", "options": OPTIONS}
SMALL = {"embedding": 16, "hidden": 24, "encoder_width": 4, "longest": 24}
TELLER = {"name": "show_attend_tell", "options": SMALL | {"attention": 8}}
RECIPE = {"epochs": 2, "batch_size": 8, "lr": 5e-3}


def call(*arguments: str) -> int:
    return main(list(arguments))


def suite(folder: Path, **changes: object) -> list[str]:
    benchmark = {"task": "captioning", "datasets": [STREETS], "models": ["prior", TELLER], "recipe": RECIPE} | changes
    file = folder / "small.yaml"
    file.write_text(json.dumps(benchmark))
    places = ["--store", str(folder / "runs"), "--cache", str(folder / "cache"), "--jobs", "1", "--threads", "1"]
    return ["run", str(file), *places]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a captioner that has hardly learnt anything, and of the most common caption."""
    folder = tmp_path_factory.mktemp("captioning")
    assert call(*suite(folder)) == 0
    return folder / "runs"


def found(store: Path, model: str) -> tuple[Path, Record]:
    (record,) = (one for one in load_records(store) if one.spec.model.name == model)
    return store / "streets" / model / record.run_id, record


def test_the_most_common_caption_is_the_one_that_most_training_images_have(store: Path) -> None:
    folder, record = found(store, "prior")
    said = set(load_arrays(folder / "evidence.npz")["captions"])
    assert len(said) == 1
    train = streets.build(Path(), task="captioning", **OPTIONS).splits["train"]
    known = [" ".join(tokens(text)) for index in range(len(train)) for text in train.target(index)]
    assert known.count(said.pop()) == max(map(known.count, known))
    assert record.selection.rule == "nothing to select: the model is not trained by gradient descent"
    assert record.costs.parameters == 0
    assert record.metrics["test/novel"] == 0.0
    assert record.metrics["test/vocabulary"] <= 24
    assert "val/cider" not in record.metrics


def test_the_record_says_what_was_measured(store: Path) -> None:
    folder, record = found(store, "show_attend_tell")
    assert record.selection.rule == "highest val/cider"
    assert record.metrics["val/cider"] == record.selection.value
    assert record.dataset.protocol["tokenizer"] == "cvbench-ptb 1"
    assert record.dataset.protocol["references"] == "5 an image"
    assert {"test/bleu4", "test/rouge_l", "test/cider", "test/cider_plain", "test/novel"} <= set(record.metrics)
    assert record.costs.macs is not None
    assert record.costs.macs > 1e5
    words = from_text((folder / "vocabulary.txt").read_text(encoding="utf-8"))
    train = streets.build(Path(), task="captioning", **OPTIONS).splits["train"]
    spoken = {word for index in range(len(train)) for text in train.target(index) for word in tokens(text)}
    assert words[:4] == SPECIAL
    assert set(words[4:]) == spoken
    assert len((folder / "record.json").read_bytes()) < 10_000  # ten thousand words do not go into every record


def test_an_exported_run_is_scored_to_its_own_numbers(store: Path, tmp_path: Path) -> None:
    folder, record = found(store, "show_attend_tell")
    assert call("export", str(folder), "--out", str(tmp_path)) == 0
    files = ["--truth", str(tmp_path / "captions.json"), "--predictions", str(tmp_path / "results.json")]
    with redirect_stdout(io.StringIO()) as said:
        assert call("score", "captioning", *files, "--json") == 0
    scored = json.loads(said.getvalue())
    ours = {f"test/{name}": value for name, value in scored["metrics"].items()}
    assert ours == {name: record.metrics[name] for name in ours}
    assert {"test/cider", "test/bleu1"} <= set(ours)
    assert scored["tokenizer"] == "cvbench-ptb 1"


def test_predict_writes_the_caption_below_the_image(store: Path, tmp_path: Path) -> None:
    folder, _ = found(store, "show_attend_tell")
    Image.fromarray(np.full((80, 120, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    with redirect_stdout(io.StringIO()) as said:
        assert call("predict", str(folder), str(tmp_path / "photo.png"), "--out", str(tmp_path / "out"), "--json") == 0
    (told,) = json.loads(said.getvalue())
    assert told["caption"]
    assert told["log_probability"] < 0
    with Image.open(tmp_path / "out" / "photo.png") as drawn:
        assert drawn.height > 240 + 80  # the caption, and where the model looked for each word


def test_weights_with_other_words_are_refused(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = found(store, "show_attend_tell")
    other = STREETS | {"options": OPTIONS | {"seed": 1, "train": 8}}
    model = TELLER | {"weights": str(folder / "model.pt")}
    assert call(*suite(tmp_path, mode="evaluate", datasets=[other], models=[model], recipe={"batch_size": 8})) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "know other words" in message
    assert "only in the file" in message


def test_classes_are_not_weighed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*suite(tmp_path, models=["prior"], recipe=RECIPE | {"class_weights": "median_frequency"})) == 1
    assert "class_weights" in capsys.readouterr().err


def test_what_neither_way_is_better_by_cannot_be_ranked_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*suite(tmp_path, primary="length")) == 2
    assert "nothing can be ranked by 'length'" in " ".join(capsys.readouterr().err.split())


def test_what_is_measured_at_the_test_alone_selects_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*suite(tmp_path, primary="meteor")) == 2
    assert "'meteor' is measured at the test alone" in " ".join(capsys.readouterr().err.split())


def test_a_data_set_without_training_captions_has_no_vocabulary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = STREETS | {"options": OPTIONS | {"train": 0, "val": 0}}
    (tmp_path / "prior.pt").write_bytes(b"")
    model = {"name": "prior", "weights": str(tmp_path / "prior.pt")}
    assert call(*suite(tmp_path, mode="evaluate", datasets=[without], models=[model], recipe={"batch_size": 8})) == 1
    assert "vocabulary" in capsys.readouterr().err


def test_a_captioner_can_be_looked_into(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = found(store, "show_attend_tell")
    Image.fromarray(np.full((80, 120, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    photo, sheet = str(tmp_path / "photo.png"), str(tmp_path / "sheet.png")
    assert call("inspect", "filters", str(folder), "--out", sheet) == 0
    assert call("inspect", "maps", str(folder), photo, "--out", sheet) == 0
    assert call("inspect", "gradcam", str(folder), photo, "--out", sheet) == 2
    assert "Expected a run of classification" in " ".join(capsys.readouterr().err.split())


def test_meteor_that_cannot_be_had_is_missing_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CVBENCH_METEOR_JAR", str(tmp_path / "nowhere.jar"))
    assert call(*suite(tmp_path, models=["prior"])) == 0
    (record,) = load_records(tmp_path / "runs")
    assert "test/meteor" not in record.metrics
    assert "nowhere.jar" in record.absent_metrics["meteor"]
    (board,) = (tmp_path / "runs" / "boards").glob("*/leaderboard.md")
    assert "Not measured: meteor (" in board.read_text(encoding="utf-8")
    assert str(tmp_path) not in board.read_text(encoding="utf-8")  # where somebody's files lie is nobody's business


def test_captions_of_ten_thousand_words_are_learnt_scored_and_drawn(tmp_path: Path) -> None:
    """One in train, one in test, and a word of ten thousand letters: from files to a record, a board and a picture."""
    names = {role: [f"{role}/{place}.png" for place in range(4)] for role in ("train", "val", "test")}
    captions = {name: [f"A picture of number {place}."] for role in names.values() for place, name in enumerate(role)}
    captions["train/0.png"] += ["word " * 10_000]
    captions["test/0.png"] += ["sign " * 10_000, "x" * 10_000]
    draw(tmp_path / "own", captions)
    write(tmp_path / "own" / "captions.json", captions)
    own = {"name": "folder_captions", "options": {"path": str(tmp_path / "own"), "min_count": 1}}
    recipe = RECIPE | {"input_size": [32, 32], "batch_size": 4, "epochs": 1}
    assert call(*suite(tmp_path, datasets=[own], models=[TELLER], recipe=recipe)) == 0
    (record,) = load_records(tmp_path / "runs")
    folder = tmp_path / "runs" / "folder_captions" / "show_attend_tell" / record.run_id
    assert record.samples == {"test": 4}
    (truth,) = (tmp_path / "runs" / "folder_captions").glob("truth-*.npz")
    assert {len(text) for text in load_arrays(truth)["references"]} >= {10_000, 49_999}
    assert truth.stat().st_size < 20_000
    with Image.open(folder / "samples.png") as sheet:
        assert sheet.height < 2_000


def test_frozen_layers_without_weights_are_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = TELLER | {"label": "frozen", "options": TELLER["options"] | {"freeze": True}}
    assert call(*suite(tmp_path, models=[TELLER, frozen], recipe=RECIPE | {"epochs": 1})) == 0
    assert capsys.readouterr().err.count("random layers will stay random") == 1
