"""Where the annotation files of somebody's own images lie, and where the images that these name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cvbench.data.base import ROLES, DataError, Role
from cvbench.data.class_lists import ALIASES
from cvbench.data.files import need


@dataclass(frozen=True)
class OwnFiles:
    """How a dataset of one's own images calls things in its messages.

    dataset: its name. option: that of its options which names the files. kind: what it calls one of them.
    """

    dataset: str
    option: str
    kind: str = "file"

    def given(self, folder: Path, value: Mapping[str, str] | str) -> dict[Role | None, Path]:
        """The files that the option names: all under None, or one a role. Raises DataError where one is missing."""
        remedy = f"`{self.option}` of {self.dataset} names the {self.kind} in `path`, or one for each of "
        remedy += "train, val, test."
        if isinstance(value, str):
            return {None: need(folder / value, self.dataset, remedy)}
        if unknown := set(value) - set(ROLES):
            raise DataError(
                f"Expected the keys of `{self.option}` of {self.dataset} to be of {', '.join(ROLES)}, but got "
                f"{min(unknown)!r}"
            )
        return {role: need(folder / value[role], self.dataset, remedy) for role in ROLES if role in value}

    def by_role(self, folder: Path, patterns: Sequence[str]) -> dict[Role | None, Path]:
        """One file a role in `folder`, by the first of the patterns (with `{}` for the role) that some match; else {}.

        Raises DataError for two of one role.
        """
        for pattern in patterns:
            found: dict[Role | None, Path] = {}
            for role in ROLES:
                by_alias = (file for alias in ALIASES[role] for file in matching(folder, pattern.format(alias)))
                several = list(dict.fromkeys(by_alias))  # instances_val* and instances_valid* may find one file twice
                if len(several) > 1:
                    names = ", ".join(file.name for file in several)
                    raise DataError(
                        f"{folder}: expected one {self.kind} for {role}, but found {names}; set `{self.option}`"
                    )
                if several:
                    found[role] = several[0]
            if found:
                return found
        return {}

    def images_given(self, folder: Path, images: Mapping[str, str] | str | None, role: Role | None) -> Path | None:
        """The folder that the option `images` names for a role; None where it is not set. Raises DataError."""
        if not images:
            return None
        given = images if isinstance(images, str) else images.get(role or "")
        if given is None:
            raise DataError(f"Expected `images` of {self.dataset} to have the key {role}, but got {json.dumps(images)}")
        return need(folder / given, self.dataset, "`images` names the folder of the images in `path`.")


def image_places(folder: Path, file: Path, prefix: str, role: Role | None, last: Sequence[str]) -> list[Path]:
    """Folders that a file's images may lie in, the likeliest first: beside it, in one of the role's name or of the
    file's own without `prefix`, within images/ or not, and `last`.
    """
    named = list(dict.fromkeys([*(ALIASES[role] if role else ()), file.stem.removeprefix(prefix)]))
    places = [file.parent, *(folder / "images" / name for name in named), *(folder / name for name in named)]
    return list(dict.fromkeys([*places, *(folder / name for name in last)]))


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files that match, hidden ones left out, in order."""
    return sorted(file for file in folder.glob(pattern) if file.is_file() and not file.name.startswith("."))
