"""Which of somebody's own images are train, val and test: as their files say, the rest by fixed shares of a hash."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cvbench.data.base import ROLES, DataError, Role
from cvbench.data.box_files import BoxFiles
from cvbench.data.split import hashed


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
        try:
            re.compile(self.group or "")
        except re.error as error:
            raise DataError(
                f"Expected `group` of {self.dataset} to be a regular expression, as ^(scene\\d+)_, but got "
                f"{self.group!r}: {error}"
            ) from None

    def carved(self, split: BoxFiles, share: float, salt: str) -> tuple[BoxFiles, BoxFiles]:
        """(kept, taken). Raises DataError for an image whose path `group` does not match."""
        taken = hashed(split.ids, share, salt, None if self.group is None else self._scenes(split))
        return split.where(~taken), split.where(taken)

    def _scenes(self, split: BoxFiles) -> list[str]:
        pattern, scenes = re.compile(self.group or ""), []
        for name in split.names:
            match = pattern.search(name)
            scene = (match and match[1 if pattern.groups else 0]) or ""
            if not scene:
                raise DataError(
                    f"{split.folder / name}: `group: {self.group}` matches nothing in {name}, so it belongs to no "
                    "scene; correct either"
                )
            scenes.append(scene)
        return scenes


def assigned(found: Mapping[Role | None, BoxFiles], shares: Shares) -> tuple[dict[str, BoxFiles], dict[str, str]]:
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
