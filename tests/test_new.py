"""`cvbench new`: folders as people have them, and the files that come of them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.cli import main
from cvbench.data.base import DataError
from cvbench.new import compose, look, write
from cvbench.plan import plan
from cvbench.suite import load_suite


def picture(path: Path, value: int = 0, size: tuple[int, int] = (48, 60), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3) if mode == "RGB" else size, value, np.uint8)).save(path)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for role, count in (("train", 12), ("test", 3)):
        for name in ("cat", "dog"):
            for index in range(count):
                picture(tmp_path / "pets" / role / name / f"{name}{index}.png", index)
    return tmp_path / "pets"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    for index in range(20):
        picture(tmp_path / "scenes" / "images" / f"s{index:02d}.png", index, (300, 400))
        mask = np.full((300, 400), index % 3, np.uint8)
        mask[:5] = 255
        path = tmp_path / "scenes" / "masks" / f"s{index:02d}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    return tmp_path / "scenes"


def test_class_folders_give_a_benchmark_that_plan_accepts(classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "pets.yaml"
    found = look("classification", classes)
    assert found.classes == ("cat", "dog")
    assert found.splits["test"] == 6
    assert found.splits["train"] + found.splits["val"] == 24
    assert found.size == (48, 64)  # 48x60 in steps of 16
    out.write_text(compose("classification", found, out))
    runs = plan(load_suite([out]))
    assert len(runs) == 9
    assert {run.dataset.options["path"] for run in runs} == {str(classes)}
    assert runs[0].recipe.input_size == (48, 64)


def test_masks_give_classes_void_and_ending(masks: Path, tmp_path: Path) -> None:
    found = look("segmentation", masks)
    assert found.options["mask_ending"] == "_mask"
    assert found.options["classes"] == ["class 0", "class 1", "class 2"]
    assert found.options["void"] == 255
    assert sum(found.splits.values()) == 20
    assert found.size == (224, 288)  # 300x400 at 224 rows, in steps of 32
    out = tmp_path / "scenes.yaml"
    out.write_text(compose("segmentation", found, out))
    runs = plan(load_suite([out]))
    assert {run.model.name for run in runs} == {"fcn", "unet", "segnet"}
    assert runs[0].recipe.class_weights == "median_frequency"


def test_the_folder_of_the_images_will_do_too(masks: Path) -> None:
    assert look("segmentation", masks / "images") == look("segmentation", masks)


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Forty photos with a label file each, in no splits."""
    for index in range(40):
        picture(tmp_path / "birds" / "images" / f"b{index:02d}.png", index, (600, 800))
        labels = tmp_path / "birds" / "labels" / f"b{index:02d}.txt"
        labels.parent.mkdir(exist_ok=True)
        labels.write_text(f"{index % 2} 0.5 0.5 0.25 0.5\n")
    return tmp_path / "birds"


def test_label_files_give_a_benchmark_that_plan_accepts(boxes: Path, tmp_path: Path) -> None:
    found = look("detection", boxes)
    assert found.dataset == "folder_yolo"
    assert found.options == {"path": str(boxes), "classes": ["class 0", "class 1"]}
    assert "no names yet" in found.remarks[0]
    assert sum(found.splits.values()) == 40
    assert found.size == (320, 416)  # 600x800 at 320 rows is 320x427, in steps of 32
    (boxes / "data.yaml").write_text("names: {0: robin, 1: wren}\n")
    named = look("detection", boxes / "images")  # the folder of the images will do too
    assert (named.classes, named.remarks, named.options) == (("robin", "wren"), (), {"path": str(boxes)})
    out = tmp_path / "birds.yaml"
    out.write_text(compose("detection", named, out))
    runs = plan(load_suite([out]))
    assert {run.dataset.name for run in runs} == {"folder_yolo"}
    assert {run.model.name for run in runs} == {"fcos", "retinanet", "faster_rcnn"}
    assert runs[0].recipe.class_weights == "none"  # a detector's losses are its own


def test_a_json_of_boxes_is_found(boxes: Path) -> None:
    shutil.rmtree(boxes / "labels")
    with pytest.raises(DataError, match=r"label files .*or COCO's JSON .*but it holds images and neither"):
        look("detection", boxes)
    images = [{"id": index, "file_name": f"b{index:02d}.png", "height": 600, "width": 800} for index in range(40)]
    annotations = [{"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 1, 2, 2]}]
    table = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "robin"}]}
    (boxes / "instances.json").write_text(json.dumps(table))
    found = look("detection", boxes)
    assert (found.dataset, found.options, found.classes) == ("folder_coco", {"path": str(boxes)}, ("robin",))


def test_captions_give_a_benchmark_that_plan_accepts(tmp_path: Path) -> None:
    names = [f"p{index:02d}.png" for index in range(40)]
    for index, name in enumerate(names):
        picture(tmp_path / "pets" / "images" / name, index, (300, 400))
    rows = ["image,caption", *(f"{name},A dog runs" for name in names)]
    (tmp_path / "pets" / "captions.csv").write_text("\n".join(rows))
    found = look("captioning", tmp_path / "pets")
    assert (found.dataset, found.options) == ("folder_captions", {"path": str(tmp_path / "pets")})
    out = tmp_path / "pets.yaml"
    out.write_text(compose("captioning", found, out))
    assert "classes" not in out.read_text().splitlines()[5]  # there are none
    runs = plan(load_suite([out]))
    assert {run.model.name for run in runs} == {"prior", "show_and_tell", "show_attend_tell", "transformer_captioner"}


def test_class_names_from_a_file(masks: Path) -> None:
    (masks / "classes.txt").write_text("road\nsky\ntree\n")
    found = look("segmentation", masks)
    assert found.classes == ("road", "sky", "tree")
    assert "classes" not in found.options
    assert not found.remarks


def test_painted_masks_need_a_table_of_colours(tmp_path: Path) -> None:
    for index in range(30):
        picture(tmp_path / "images" / f"{index}.png")
        picture(tmp_path / "labels" / f"{index}.png", 200)
    with pytest.raises(DataError, match=r"\(200, 200, 200\).*colours\.csv.*name, r, g, b"):
        look("segmentation", tmp_path)
    (tmp_path / "colours.csv").write_text("name,r,g,b\nroad,200,200,200\n")
    found = look("segmentation", tmp_path)
    assert found.options["colours"] == "colours.csv"
    assert found.classes == ("road",)


@pytest.mark.parametrize("content", ["pcx", "truncated", "text"])
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_damaged_file_is_named(
    masks: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, content: str
) -> None:
    path = masks / kind / ("s03.png" if kind == "images" else "s03_mask.png")
    if content == "pcx":  # Pillow would read it; the harness reads formats of a short list only
        Image.new("RGB", (400, 300)).save(path, format="PCX")
    else:
        path.write_bytes(path.read_bytes()[:20] if content == "truncated" else b"no image")
    out = tmp_path / "mine.yaml"
    assert main(["new", "--task", "segmentation", "--images", str(masks), "--out", str(out)]) == 2
    assert f"{path}: cannot be decoded" in capsys.readouterr().err
    assert not out.exists()


def test_hidden_files_are_no_images(masks: Path) -> None:
    found = look("segmentation", masks)
    for name in ("._s03.png", ".thumbnails/s03.png"):  # as a Mac and file managers leave them
        (masks / "masks" / name).parent.mkdir(exist_ok=True)
        (masks / "masks" / name).write_bytes(b"no image")
    assert look("segmentation", masks) == found


@pytest.mark.parametrize(
    ("task", "folder", "message"),
    [
        ("segmentation", "pets", "a folder of images"),
        ("segmentaton", "pets", "did you mean 'segmentation'"),
        ("classification", "nowhere", "no such folder"),
        ("classification", "empty", "two classes or more"),
    ],
)
def test_what_does_not_fit_is_said(classes: Path, tmp_path: Path, task: str, folder: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        look(task, tmp_path / folder)


def test_it_asks_for_what_is_not_given(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"classification\n{classes}\n\n"))
    assert main(["new"]) == 0
    out, err = capsys.readouterr()
    assert "Wrote benchmarks/pets.yaml" in out
    assert "captioning): Folder of the images: " in err
    assert len(plan(load_suite(["benchmarks/pets.yaml"]))) == 9


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), ("\n", 2), ("", 2), ("y\n", 0)])
def test_it_never_overwrites_without_asking(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    out = tmp_path / "mine.yaml"
    out.write_text("# mine\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main(["new", "--task", "classification", "--images", str(classes), "--out", str(out)]) == code
    assert (out.read_text() == "# mine\n") == (code != 0)


def test_nor_does_the_function(classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    found = look("classification", classes)
    write("classification", found, out)
    with pytest.raises(FileExistsError):
        write("classification", found, out)


def test_nobody_there_to_answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["new"]) == 2
    assert "give --task" in capsys.readouterr().err
