"""Your own images for classification: one folder a class, or list files.

Year: any
Source: yours
Licence: yours
Tasks: classification

Under `path` (a folder of the data root, or absolute), the first of these layouts that is there:
1. folders: {train,val,test}/<class>/…/NAME.jpg ("valid", "validation", "training", "testing" are understood too);
2. lists: train.txt, val.txt, test.txt with lines `relative/path.jpg label`; labels are class names, or numbers 0, 1,
   2 … whose names are the lines of classes.txt where it is there;
3. hash: <class>/…/NAME.jpg; `test_share` of all are test, `val_share` of the rest val, by the hash of the path.
Where there is no val, it is `val_share` of train by hash; where there is val and no test, val plays test. Only test,
and no train: evaluation of given weights. Classes are sorted by name, as torchvision's ImageFolder has them; each must
have an image in train. `group` or `group_parts` keeps one scene in one split. Images of any mode become RGB; an EXIF
orientation is not applied (as with ImageFolder): turn such photos before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal

from cvbench.data.base import ROLES, DataError, Dataset, DatasetInfo, Split
from cvbench.data.class_lists import Item, find
from cvbench.data.files import need
from cvbench.data.labelled import FilesSplit, not_empty
from cvbench.data.revision import revision
from cvbench.data.split import hashed

VERSION = 1


def build(
    root: Path,
    *,
    path: str = "folder",
    layout: Literal["auto", "folders", "lists", "hash"] = "auto",
    val_share: float = 0.15,
    test_share: float = 0.15,
    group: str | None = None,
    group_parts: int | None = None,
) -> Dataset:
    """Anybody's class folders; lists files, reads none.

    Args:
        path: the folder, under the data root or absolute.
        layout: "auto" takes the first that is there.
        val_share, test_share: shares by hash, of what is not test and of all; used where the files do not say.
        group: regular expression searched in each path below `path`; what its first parentheses match (else the whole
            match) names the scene, which is hashed in the path's stead.
        group_parts: or: the scene is the first so many folders below the class folder, whatever the class.

    Raises:
        DataError: something is missing, empty, in two splits, or does not fit; the message names it.
    """
    folder = need(
        root / path, "folder", "Set its option `path` to the folder that holds your class folders.", root=root
    )
    for option, share in {"val_share": val_share, "test_share": test_share}.items():
        if not 0 < share < 1:
            raise DataError(f"Expected `{option}` of folder to be between 0 and 1, but got {share}")
    scene = _scene(group, group_parts)
    found = find(folder, layout)
    items, origin = _roles(found.parts, val_share, test_share, scene)
    index = {label: position for position, label in enumerate(found.classes)}
    splits: dict[str, Split] = {}
    for role in (role for role in ROLES if role in items):
        names = [item.name for item in items[role]]
        splits[role] = FilesSplit(folder, names, [index[item.label] for item in items[role]], names)
    not_empty(f"folder {folder}", splits, "Add images, write list files, or change the shares.")
    _check(folder, items, found.classes, scene)
    protocol = {"classes": found.classes, "layout": found.layout, "roles": origin}
    info = DatasetInfo(
        name="folder",
        task="classification",
        protocol=protocol | ({"group": group or group_parts} if group or group_parts else {}),
        revision=revision(folder, (item.name for part in items.values() for item in part), annotations=found.lists),
        classes=tuple(found.classes),
        split_sizes={role: len(split) for role, split in splits.items()},
        licence="yours",
        redistributable=False,
    )
    return Dataset(info, splits)


def _scene(group: str | None, group_parts: int | None) -> Callable[[Item], str]:
    """The function that names an item's scene; without `group` and `group_parts` each item is its own."""
    if group is not None and group_parts is not None:
        raise DataError("Expected one of `group` and `group_parts` of folder, but got both; remove one")
    if group_parts is not None:
        if group_parts < 1:
            raise DataError(f"Expected `group_parts` of folder to be 1 or more, but got {group_parts}")
        return lambda item: _leading(item, group_parts)
    if group is None:
        return lambda item: item.name
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DataError(f"Expected `group` of folder to be a regular expression, but got {group!r}: {error}") from None
    return lambda item: _matched(item, pattern)


def _leading(item: Item, count: int) -> str:
    folders = item.inner.split("/")[:-1]
    if len(folders) < count:
        raise DataError(f"{item.name}: `group_parts: {count}` needs {count} folders below the class folder")
    return "/".join(folders[:count])


def _matched(item: Item, pattern: re.Pattern[str]) -> str:
    match = pattern.search(item.name)
    if match is None:
        raise DataError(f"{item.name}: `group: {pattern.pattern}` matches nothing in it, so it belongs to no scene")
    return (match[1] if pattern.groups else match[0]) or ""


def _roles(
    parts: Mapping[str, list[Item]], val_share: float, test_share: float, scene: Callable[[Item], str]
) -> tuple[dict[str, list[Item]], dict[str, str]]:
    """The items of each role, and in words where each came from."""
    if "all" in parts:
        test, rest = _taken(parts["all"], test_share, "test/", scene)
        val, train = _taken(rest, val_share, "val/", scene)
        origin = {
            "train": "the rest",
            "val": f"{val_share:g} of what is not test, by hash",
            "test": f"{test_share:g}, by hash",
        }
        return {"train": train, "val": val, "test": test}, origin
    roles, origin = dict(parts), {role: f"given {role}" for role in parts}
    if "test" not in roles:
        if "val" not in roles:
            raise DataError("The dataset folder has train alone: expected test (or val) beside it, or `layout: hash`")
        roles["test"], origin["test"] = roles.pop("val"), "given val"
    if "train" not in roles:
        return {"test": roles["test"]}, {"test": origin["test"]}
    if "val" not in roles:
        roles["val"], roles["train"] = _taken(roles["train"], val_share, "val/", scene)
        origin |= {"train": "given train without val", "val": f"{val_share:g} of given train, by hash"}
    return roles, origin


def _taken(
    items: Sequence[Item], share: float, salt: str, scene: Callable[[Item], str]
) -> tuple[list[Item], list[Item]]:
    chosen = hashed([item.name for item in items], share, salt, groups=[scene(item) for item in items])
    pairs = list(zip(items, chosen, strict=True))
    return [item for item, take in pairs if take], [item for item, take in pairs if not take]


def _check(folder: Path, roles: Mapping[str, list[Item]], classes: Sequence[str], scene: Callable[[Item], str]) -> None:
    """No image or scene in two splits, and no class without an image to learn from."""
    scenes = {role: {scene(item): item for item in items} for role, items in roles.items()}
    for one, other in combinations(scenes, 2):
        if both := sorted(scenes[one].keys() & scenes[other].keys()):
            raise DataError(
                f"{folder}: {both[0]!r} is in {one} and in {other} ({scenes[one][both[0]].name}, "
                f"{scenes[other][both[0]].name}); expected each image, and each scene of `group`, in one split"
            )
    if "train" in roles and (missing := sorted(set(classes) - {item.label for item in roles["train"]})):
        raise DataError(
            f"{folder}: the class {missing[0]!r} has no image in train, so no model can learn it; add images, "
            "remove the class, or change the shares"
        )
