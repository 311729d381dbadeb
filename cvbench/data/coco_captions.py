"""COCO captions: photographs of whole scenes, each described by five people.

Year: 2015
Source: Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server", arXiv:1504.00325
Licence: annotations CC BY 4.0; images the photographers' own (Flickr terms), named in the JSON
Tasks: captioning

Layout: coco/annotations/captions_{train,val}{year}.json and the images in coco/{train,val}{year}/. The test captions
are hidden, so with `split: official` the official val plays test, and val is a share of train by the hash of the
sample's name. `split: karpathy`, on which papers report, takes the images of 2014 and dataset_coco.json, in coco/ or in
coco/annotations/: train and restval are learnt (113,287 images), val and test have 5,000 images each, of val2014.
Without train, only `test` is there, and no vocabulary: for captions that somebody else's model wrote. Some images have
six captions or seven.
The archives were not at hand: tried on 128 images of val2017.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from cvbench.data.base import DataError, Dataset, Role
from cvbench.data.box_files import all_present, stem
from cvbench.data.caption_entries import Captions
from cvbench.data.caption_files import CaptionFiles, caption_dataset
from cvbench.data.caption_json import read_coco_captions, read_karpathy
from cvbench.data.files import need
from cvbench.data.revision import revision
from cvbench.data.split import hashed

VERSION = 1
FOLDER = "coco"
KARPATHY = "dataset_coco.json"
_REMEDY = (
    "`cvbench data fetch coco` (20 GB) has the captions of 2017 too; for 2014 unpack train2014.zip, val2014.zip and "
    "annotations_trainval2014.zip of cocodataset.org into coco/."
)
_NO_SPLIT = (
    "Karpathy's split is in caption_datasets.zip at cs.stanford.edu/people/karpathy/deepimagesent: put its "
    "dataset_coco.json into coco/, or set `split: official`."
)


def build(
    root: Path,
    *,
    year: Literal[2017, 2014] = 2017,
    split: Literal["official", "karpathy"] = "official",
    val_share: float = 0.05,
    min_count: int = 5,
) -> Dataset:
    """COCO's captions.

    Args:
        year: of the split into train and val: 2017 (118,287 and 5,000 images) or 2014 (82,783 and 40,504).
        split: whose; Karpathy's is one of the images of 2014.
        val_share: of train that plays `val` in the official split.
        min_count: how often a word must occur in the captions of train to be in the vocabulary.

    Raises:
        DataError: the data are missing, damaged or not in the layout, or an option is none of these.
    """
    if year not in (2017, 2014):
        raise DataError(f"Expected `year` of coco_captions to be 2017 or 2014, but got {year}")
    if split not in ("official", "karpathy"):
        raise DataError(f"Expected `split` of coco_captions to be official or karpathy, but got {split!r}")
    if not 0 < val_share < 1:
        raise DataError(f"Expected `val_share` of coco_captions to be between 0 and 1, but got {val_share}")
    folder = need(root / FOLDER, "coco_captions", _REMEDY, root=root)
    if split == "karpathy":
        splits, protocol, files = _karpathy(folder, year)
    else:
        splits, protocol, files = _official(folder, year, val_share)
    return caption_dataset(
        splits,
        name="coco_captions",
        min_count=min_count,
        protocol=protocol,
        revision=revision(folder, (path for part in splits.values() for path in part.paths), files),
        licence="annotations CC BY 4.0, images the photographers' own (Flickr terms)",
        remedy="Unpack all images, or raise `val_share` for a part of them.",
    )


_Found = tuple[dict[str, CaptionFiles], dict[str, Any], list[Path]]


def _official(folder: Path, year: int, val_share: float) -> _Found:
    files = {part: folder / "annotations" / f"captions_{part}{year}.json" for part in ("train", "val")}
    test = _part(folder, files["val"], "val", year)
    roles = {"test": "official val"}
    if not ((folder / f"train{year}").is_dir() and files["train"].is_file()):
        return {"test": test}, {"year": year, "roles": roles}, [files["val"]]
    train = _part(folder, files["train"], "train", year)
    held_out = hashed(train.ids, val_share)
    roles |= {"train": "official train without val", "val": f"{val_share:g} of official train by hash"}
    splits = {"train": train.where(~held_out), "val": train.where(held_out), "test": test}
    return splits, {"year": year, "roles": roles}, list(files.values())


def _part(folder: Path, file: Path, part: str, year: int) -> CaptionFiles:
    need(file, "coco_captions", _REMEDY)
    need(folder / f"{part}{year}", "coco_captions", _REMEDY)
    captions = {f"{part}{year}/{name}": texts for name, texts in read_coco_captions(file).items()}
    return _split(folder, captions, file, year)


def _karpathy(folder: Path, year: int) -> _Found:
    if year != 2014:
        raise DataError(
            "Expected `year` of coco_captions to be 2014 with `split: karpathy`, which is of its images, but got "
            f"{year}; set `year: 2014`"
        )
    beside = folder / "annotations" / KARPATHY
    file = beside if beside.is_file() else need(folder / KARPATHY, "coco_captions", _NO_SPLIT)
    need(folder / "val2014", "coco_captions", _REMEDY)
    found = read_karpathy(file)
    roles = {"train": "Karpathy's train and restval", "val": "Karpathy's val", "test": "Karpathy's test"}
    chosen: tuple[Role, ...] = ("train", "val", "test") if (folder / "train2014").is_dir() else ("test",)
    splits: dict[str, CaptionFiles] = {role: _split(folder, found[role], file, year) for role in chosen}
    return splits, {"year": year, "roles": {role: roles[role] for role in chosen}}, [file]


def _split(folder: Path, captions: Captions, file: Path, year: int) -> CaptionFiles:
    """Ids are as those of `coco`: train/000000000009, val/COCO_val2014_000000391895."""
    all_present(folder, captions, str(file))
    ids = [stem(name).replace(f"{year}/", "/", 1) for name in captions]
    return CaptionFiles(folder, list(captions), ids, captions.values())
