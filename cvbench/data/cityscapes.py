"""Cityscapes: street scenes of 50 cities, 2,975 + 500 finely labelled images, 19 scored classes.

Year: 2016
Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016
Licence: Cityscapes' own, non-commercial; registration at www.cityscapes-dataset.com
Tasks: segmentation

Layout: cityscapes/leftImg8bit/{train,val}/CITY/*_leftImg8bit.png and gtFine/{train,val}/CITY/*_gtFine_labelIds.png,
1024×2048. The 34 label ids become the 19 train ids of cityscapesScripts' `labels.py`, the others are ignored. The test
labels are hidden, so the official val plays test, and val is made of whole cities of train (by hash: aachen, erfurt and
jena, 402 images), because images of one city share streets and light.
Tried on fake copies only.
"""

from __future__ import annotations

from pathlib import Path

from cvbench.data.base import VOID, Dataset, DatasetInfo, Role
from cvbench.data.files import list_folders, need
from cvbench.data.mask_files import Pair, by_stem, carve, files_of, image_size, mask_splits, paired
from cvbench.data.mask_labels import IndexLabels
from cvbench.data.revision import revision

VERSION = 1
OFFICIAL_SIZES = [{"test": 500}]

#: label id -> name and colour, in the order of the train ids 0..18
LABELS: dict[int, tuple[str, tuple[int, int, int]]] = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}
VAL_SHARE = 0.15
_TRAIN_IDS = {label: index for index, label in enumerate(LABELS)}
_DECODE = IndexLabels(
    tuple((label, _TRAIN_IDS.get(label, VOID)) for label in range(34)),
    "the labelIds files hold 0..33 (not the trainIds, color or instanceIds files)",
)
_REMEDY = (
    "Register at www.cityscapes-dataset.com, unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip "
    "into cityscapes/."
)


def build(root: Path) -> Dataset:
    """Cityscapes for segmentation, 19 classes.

    Raises:
        DataError: the data are missing or not in the layout, or a part so small that the hash gives val no city.
    """
    folder = need(root / "cityscapes", "cityscapes", _REMEDY, root=root)
    official = _official(folder, "train")
    train, val = carve(official, VAL_SHARE, groups=[pair.image.parent.name for pair in official])
    pairs: dict[Role, list[Pair]] = {"train": train, "val": val, "test": _official(folder, "val")}
    size = image_size(train[0].image) if train else None
    splits = mask_splits(pairs, _DECODE, size, dataset="cityscapes", remedy=_REMEDY)
    info = DatasetInfo(
        name="cityscapes",
        task="segmentation",
        protocol={
            "classes": 19,
            "scoring_size": "native" if size is None else f"native {size[0]}x{size[1]}",
            "roles": {
                "train": "official fine train without val's cities",
                "val": f"{VAL_SHARE:.0%} of the cities of official train by hash",
                "test": "official val",
            },
            "void": "labels without a train id ignored",
        },
        revision=revision(folder, files_of(pairs)),
        classes=tuple(name for name, _ in LABELS.values()),
        split_sizes={role: len(split) for role, split in splits.items()},
        licence="Cityscapes' own, non-commercial",
        redistributable=False,
        colours=tuple(colour for _, colour in LABELS.values()),
        ignore_index=VOID,
        mean=(0.28689554, 0.32513303, 0.28389177),
        std=(0.18696375, 0.19017339, 0.18720214),
        input_size=size,
    )
    return Dataset(info, splits)


def _official(folder: Path, part: str) -> list[Pair]:
    """The pairs of an official split, by city and name; ids as in train/aachen/aachen_000000_000019."""
    photos = need(folder / "leftImg8bit" / part, "cityscapes", _REMEDY)
    labelled = need(folder / "gtFine" / part, "cityscapes", _REMEDY)
    pairs: list[Pair] = []
    for city in list_folders(photos):
        images = _named(photos / city, "_leftImg8bit")
        masks = _named(need(labelled / city, "cityscapes", _REMEDY), "_gtFine_labelIds")
        where = str(labelled / city)
        pairs += paired(images, images, masks, prefix=f"{part}/{city}/", source=photos / city, where=where)
    return pairs


def _named(folder: Path, ending: str) -> dict[str, Path]:
    return {stem.removesuffix(ending): path for stem, path in by_stem(folder).items() if stem.endswith(ending)}
