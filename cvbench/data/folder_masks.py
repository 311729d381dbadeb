"""Your own images and masks for segmentation: two folders whose files have equal names.

Year: any
Source: yours
Licence: yours
Tasks: segmentation

Under `path` (a folder of the data root, or absolute): images/NAME.jpg and masks/NAME.png, grey or palette PNG whose
pixels are class numbers, or painted in the colours of a CSV file. Splits, the first of these that is there:
1. subfolders images/{train,val,test} and masks/{train,val,test};
2. list files train.txt, val.txt, test.txt beside images/, one sample a line;
3. fixed shares by the hash of the name, `group` (a regular expression) keeping one scene in one split.
Where there is no test, val plays test; where there is then no val, it is a share of train by hash.
Class names: `classes`, else classes.txt or codes.txt in `path` (one a line, for labels 0, 1, 2 …), else the CSV's.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from cvbench.data.base import ROLES, VOID, DataError, Dataset, DatasetInfo, Role
from cvbench.data.files import need
from cvbench.data.mask_files import Pair, by_stem, carve, files_of, list_entries, mask_splits, paired
from cvbench.data.mask_labels import MOST_CLASSES, ColourLabels, IndexLabels
from cvbench.data.revision import revision
from cvbench.data.shares import assigned, scene_in, scene_pattern
from cvbench.data.voc_seg import palette_colour

VERSION = 1


def build(
    root: Path,
    *,
    path: str = "folder_masks",
    images: str = "images",
    masks: str = "masks",
    mask_ending: str = "",
    classes: list[str] | None = None,
    void: int | None = 255,
    colours: str | None = None,
    val_share: float = 0.15,
    test_share: float = 0.15,
    group: str | None = None,
) -> Dataset:
    """Anybody's images and masks.

    Args:
        path: the folder, under the data root or absolute.
        images, masks: their folders in `path`.
        mask_ending: what a mask's name has more than its image's: "_mask" for a.jpg and a_mask.png.
        classes: names of the labels 0, 1, 2 … (the void label's included, if it is among them).
        void: the label that is ignored; None where every label counts. With `colours`, rows named void say so.
        colours: CSV file in `path` with the columns name, r, g, b, where the masks are painted; rows with one name are
            one class.
        val_share, test_share: shares by hash, of what is not test and of all; used where the files do not say.
        group: regular expression searched in each name; what its first parentheses (else the whole) match is the scene,
            which is hashed in the name's stead.

    Raises:
        DataError: something is missing, empty, doubled or does not fit; the message names the file.
    """
    folder = need(
        root / path, "folder_masks", "Set its option `path` to the folder that holds images and masks.", root=root
    )
    for share in (val_share, test_share):
        if not 0 < share < 1:
            raise DataError(
                f"Expected `val_share` and `test_share` of folder_masks to be between 0 and 1, but got {share}"
            )
    decode: IndexLabels | ColourLabels
    if colours is None:
        names, decode, read = _index_labels(folder, classes, void)
        painted = tuple(palette_colour(index + 1) for index in range(len(names)))
    else:
        names, painted, decode, read = _colour_labels(folder, classes, colours)
    found, lists = _find(folder, images, masks, mask_ending)
    pairs, roles = assigned(found, _PairShares(val_share, test_share, group))
    remedy = "Add images, write list files, or change the shares."
    splits = mask_splits(pairs, decode, None, dataset=f"folder_masks {folder}", remedy=remedy)
    info = DatasetInfo(
        name="folder_masks",
        task="segmentation",
        protocol={
            "classes": list(names),
            "scoring_size": "native",
            "roles": roles,
            "void": "colours named void ignored" if colours else "none" if void is None else f"label {void} ignored",
        },
        revision=revision(folder, files_of(pairs), [*read, *lists]),
        classes=names,
        split_sizes={role: len(split) for role, split in splits.items()},
        licence="the owner's",
        redistributable=False,
        colours=painted,
        ignore_index=VOID,
    )
    return Dataset(info, splits)


def _index_labels(
    folder: Path, classes: Sequence[str] | None, void: int | None
) -> tuple[tuple[str, ...], IndexLabels, list[Path]]:
    """Scored class names, the decoder, and the files read for them. A void label among the names closes ranks."""
    read: list[Path] = []
    if classes is None:
        read = [path for path in (folder / "classes.txt", folder / "codes.txt") if path.exists()][:1]
        if not read:
            raise DataError(
                f"{folder}: the classes have no names; expected the option `classes` of folder_masks, or a file "
                "classes.txt or codes.txt with one name a line, for the labels 0, 1, 2 …"
            )
        classes = list_entries(read[0])
    if void is not None and not 0 <= void <= 255:
        raise DataError(f"Expected `void` of folder_masks to be a label from 0 to 255, or none, but got {void}")
    scored = [label for label in range(len(classes)) if label != void]
    names = _checked([classes[label] for label in scored], str(read[0]) if read else "`classes` of folder_masks")
    table = [(label, index) for index, label in enumerate(scored)]
    rule = f"0..{len(classes) - 1} are {', '.join(classes[:6])}{', …' if len(classes) > 6 else ''}"
    if void is not None:
        table.append((void, VOID))
        rule += f", and {void} is void"
    return names, IndexLabels(tuple(table), rule), read


def _colour_labels(
    folder: Path, classes: Sequence[str] | None, colours: str
) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...], ColourLabels, list[Path]]:
    """Scored class names and their first colours, the decoder, and the CSV file."""
    path = need(folder / colours, "folder_masks", "`colours` names a CSV file with the columns name, r, g, b.")
    rows: list[tuple[str, tuple[int, int, int]]] = []
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader((line for line in file if not line.startswith("#")), skipinitialspace=True)
        for row in lines:
            try:
                rgb = (int(row["r"]), int(row["g"]), int(row["b"]))
                bytes(rgb)  # raises outside 0..255
                rows.append((row["name"].strip(), rgb))
            except (KeyError, TypeError, ValueError, AttributeError):
                raise DataError(
                    f"{path}: row {row}: expected the columns name, r, g, b with numbers from 0 to 255"
                ) from None
    listed = tuple(dict.fromkeys(name for name, _ in rows if name.lower() != "void"))
    names = _checked(classes or listed, str(path))
    if unknown := sorted(set(names) ^ set(listed)):
        raise DataError(
            f"{path}: {unknown[0]} is not both in this file and in `classes`; name the same classes in both"
        )
    if len({rgb for _, rgb in rows}) < len(rows):
        raise DataError(f"{path}: a colour has two rows; expected one row a colour")
    first = dict(reversed(rows))
    table = tuple((rgb, VOID if name.lower() == "void" else names.index(name)) for name, rgb in rows)
    return names, tuple(first[name] for name in names), ColourLabels(table, path.name), [path]


def _checked(names: Sequence[str], source: str) -> tuple[str, ...]:
    if not 1 <= len(names) <= MOST_CLASSES or len(set(names)) < len(names):
        raise DataError(f"{source}: expected 1 to {MOST_CLASSES} class names, each once, but got {', '.join(names)!r}")
    return tuple(names)


def _find(folder: Path, images: str, masks: str, ending: str) -> tuple[dict[Role | None, list[Pair]], list[Path]]:
    """The pairs by the split that the files name (None: they name none), and the lists read."""
    remedy = "Set the options `images` and `masks` of folder_masks to the names of their folders."
    photos = need(folder / images, "folder_masks", remedy)
    labelled = need(folder / masks, "folder_masks", remedy)
    parts = [role for role in ROLES if (photos / role).is_dir()]
    if parts:
        named: dict[Role | None, list[Pair]] = {}
        for role in parts:
            where = need(labelled / role, "folder_masks", f"{photos / role} needs the masks of its images there.")
            pictures = by_stem(photos / role)
            annotated = _by_image(where, ending)
            source = photos / role
            named[role] = paired(pictures, pictures, annotated, prefix=f"{role}/", source=source, where=str(where))
        return named, []
    pictures, annotated = by_stem(photos), _by_image(labelled, ending)
    lists = {role: folder / f"{role}.txt" for role in ROLES if (folder / f"{role}.txt").exists()}
    listed: dict[Role | None, list[Pair]] = {}
    for role, path in lists.items():
        stems = [_stem(line, pictures) for line in list_entries(path)]
        listed[role] = paired(stems, pictures, annotated, prefix="", source=path, where=str(labelled))
    if listed:
        return listed, list(lists.values())
    return {None: paired(pictures, pictures, annotated, prefix="", source=photos, where=str(labelled))}, []


def _by_image(folder: Path, ending: str) -> dict[str, Path]:
    return {stem.removesuffix(ending): path for stem, path in by_stem(folder).items() if stem.endswith(ending)}


def _stem(line: str, pictures: dict[str, Path]) -> str:
    """The sample that a list's line names: a name, a file, or an image's path followed by a mask's."""
    for text in (line, line.split()[0]):
        for stem in (PureWindowsPath(text).name, PureWindowsPath(text).stem):
            if stem in pictures:
                return stem
    return PureWindowsPath(line.split()[0]).stem


@dataclass(frozen=True)
class _PairShares:
    """As `cvbench.data.shares.Shares`, of pairs of files: scenes are looked for in the names without their endings."""

    val: float
    test: float
    group: str | None

    def carved(self, pairs: list[Pair], share: float, salt: str, /) -> tuple[list[Pair], list[Pair]]:
        return carve(pairs, share, salt, self._scenes(pairs))

    def _scenes(self, pairs: list[Pair]) -> list[str] | None:
        if self.group is None:
            return None
        pattern, scenes = scene_pattern(self.group, "folder_masks"), []
        for pair in pairs:
            scenes.append(scene_in(pair.image.stem, pattern))
            if not scenes[-1]:
                raise DataError(
                    f"{pair.image}: its name has nothing that `group: {self.group}` matches; correct either"
                )
        return scenes
