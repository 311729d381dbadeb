"""Which samples of a dataset are train, val and test: as its files say, the rest by fixed shares of a hash."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import ROLES, DataError, Role
from cvbench.data.split import hashed

T = TypeVar("T")
Part = TypeVar("Part", bound="Divisible")


class Divisible(Protocol):
    """A split of files. ids, names: of each sample, its own and its image's path below `folder`."""

    ids: Sequence[str]

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def folder(self) -> Path: ...

    def where(self: Part, chosen: NDArray[np.bool_], /) -> Part:
        """The samples where `chosen` (N,) is true, in the same order."""
        ...


class Carver(Protocol[T]):
    """How a dataset is split where its files do not say; see `Shares`, whose carving is that of `Divisible` splits."""

    @property
    def val(self) -> float: ...

    @property
    def test(self) -> float: ...

    @property
    def group(self) -> str | None: ...

    def carved(self, split: T, share: float, salt: str, /) -> tuple[T, T]:
        """(kept, taken): takes a fixed share by the hash of the salt and the ids, or the scenes."""
        ...


@dataclass(frozen=True)
class Shares:
    """How a dataset is split where its files do not say.

    dataset: its name, for messages. val, test: shares of what is not test, and of all, in (0, 1). group: regular
    expression searched in each image's path below its folder; what its first parentheses match (else the whole match)
    names the scene, which is hashed in the sample's stead, so that a scene stays in one split.
    """

    dataset: str
    val: float
    test: float
    group: str | None = None

    def __post_init__(self) -> None:
        for option, share in {"val_share": self.val, "test_share": self.test}.items():
            if not 0 < share < 1:
                raise DataError(f"Expected `{option}` of {self.dataset} to be between 0 and 1, but got {share}")
        if self.group is not None:
            scene_pattern(self.group, self.dataset)

    def carved(self, split: Part, share: float, salt: str, /) -> tuple[Part, Part]:
        """(kept, taken). Raises DataError for an image whose path `group` does not match."""
        taken = hashed(split.ids, share, salt, self._scenes(split))
        return split.where(~taken), split.where(taken)

    def _scenes(self, split: Divisible) -> list[str] | None:
        if self.group is None:
            return None
        pattern, scenes = scene_pattern(self.group, self.dataset), []
        for name in split.names:
            scenes.append(scene_in(name, pattern))
            if not scenes[-1]:
                raise DataError(
                    f"{split.folder / name}: `group: {self.group}` matches nothing in {name}, so it belongs to no "
                    "scene; correct either"
                )
        return scenes


def scene_pattern(group: str, dataset: str) -> re.Pattern[str]:
    """Raises DataError for a `group` that is no regular expression."""
    try:
        return re.compile(group)
    except re.error as error:
        raise DataError(
            f"Expected `group` of {dataset} to be a regular expression, as ^(scene\\d+)_, but got {group!r}: {error}"
        ) from None


def scene_in(name: str, pattern: re.Pattern[str]) -> str:
    """What the pattern's first parentheses match in the name, else the whole match; "" where there is none.

    >>> scene_in("scene07_0012", re.compile(r"^(scene\\d+)_"))
    'scene07'
    """
    match = pattern.search(name)
    return (match and match[1 if pattern.groups else 0]) or ""


def assigned(found: Mapping[Role | None, T], shares: Carver[T]) -> tuple[dict[str, T], dict[str, str]]:
    """The splits in the order of the roles, and in words where each came from.

    Where there is no test, val plays test; where there is neither, it is a share of train; then val where there is
    none. Test alone stays alone: evaluation of given weights.

    found: by the role that the files give, or all under None where they give none.
    """
    by = f"by hash of {shares.group}" if shares.group else "by hash"
    splits = {role: found[role] for role in ROLES if role in found}
    roles: dict[str, str] = {role: f"given as {role}" for role in splits}
    if None in found:
        splits["train"], splits["test"] = shares.carved(found[None], shares.test, "test/")
        roles |= {"train": f"the rest {by}", "test": f"{shares.test:g} of all {by}"}
    elif "test" not in splits and "val" in splits:
        splits["test"], roles["test"] = splits.pop("val"), roles.pop("val")
    elif "test" not in splits:
        splits["train"], splits["test"] = shares.carved(splits["train"], shares.test, "test/")
        roles["test"] = f"{shares.test:g} of train {by}"
    if "val" not in splits and "train" in splits:
        splits["train"], splits["val"] = shares.carved(splits["train"], shares.val, "val/")
        roles["val"] = f"{shares.val:g} of train {by}"
    return {role: splits[role] for role in ROLES if role in splits}, roles
