"""Segmentation datasets that lie on disk as pairs of files: listing, pairing, lazily read splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError, Sample, Split
from cvbench.data.files import image_header, image_names, read_image
from cvbench.data.split import hashed

R = TypeVar("R", bound=str)  # a role: mappings are invariant in their keys, so `str` would refuse `Role`


class Pair(NamedTuple):
    """One sample's files and its stable name."""

    id: str
    image: Path
    mask: Path


class MaskFiles(Split):
    """A split of image and mask files, read when asked for.

    decode: mask file -> uint8 (H, W), class indices and VOID.
    size: (H, W) that every image has, or None where sizes vary.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        decode: Callable[[Path], NDArray[np.uint8]],
        size: tuple[int, int] | None = None,
    ) -> None:
        self.pairs, self.decode, self.size = tuple(pairs), decode, size
        self.ids = tuple(pair.id for pair in self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Raises `DataError` that names the file: it cannot be decoded, a label is unknown, or the sizes differ."""
        pair = self.pairs[index]
        image, mask = read_image(pair.image), self.decode(pair.mask)
        if image.shape[:2] != mask.shape:
            raise DataError(
                f"{pair.mask}: expected the mask to be {_size(image)} (height x width) as its image {pair.image}, "
                f"but got {_size(mask)}; export both at one size"
            )
        if self.size is not None and mask.shape != self.size:
            raise DataError(
                f"{pair.image}: expected every image of this dataset to be {self.size[0]}x{self.size[1]} (height x "
                f"width) as the first, but got {_size(image)}; copy it again from the source"
            )
        return Sample(image, mask)

    def target(self, index: int) -> NDArray[np.uint8]:
        """The mask alone, uint8 (H, W); its size is not compared with the image's."""
        return self.decode(self.pairs[index].mask)


def _size(array: NDArray[np.uint8]) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"


def mask_splits(
    pairs: Mapping[R, Sequence[Pair]],
    decode: Callable[[Path], NDArray[np.uint8]],
    size: tuple[int, int] | None,
    *,
    dataset: str,
    remedy: str,
) -> dict[str, Split]:
    """One `MaskFiles` a role.

    Raises:
        DataError: a split is empty, or an image is in two splits or twice in one.
    """
    seen: dict[Path, str] = {}
    for role, chosen in pairs.items():
        if not chosen:
            raise DataError(f"The {role} split of {dataset} is empty: expected one image or more. {remedy}")
        for pair in chosen:
            if pair.image in seen:
                raise DataError(
                    f"{pair.image}: named for {role}, but {seen[pair.image]} has it already; expected every image once "
                    f"in one split of {dataset}, or the test score means nothing"
                )
            seen[pair.image] = role
    return {role: MaskFiles(chosen, decode, size) for role, chosen in pairs.items()}


def carve(
    pairs: Sequence[Pair], share: float, salt: str = "", groups: Sequence[str] | None = None
) -> tuple[list[Pair], list[Pair]]:
    """(kept, taken): takes a fixed share by the hash of the ids, or of one group name a pair (see `data.split`)."""
    taken = hashed([pair.id for pair in pairs], share, salt, groups)
    kept = [pair for pair, take in zip(pairs, taken, strict=True) if not take]
    return kept, [pair for pair, take in zip(pairs, taken, strict=True) if take]


def files_of(pairs: Mapping[R, Sequence[Pair]]) -> list[Path]:
    """Every image and mask, for the revision."""
    return [path for chosen in pairs.values() for pair in chosen for path in (pair.image, pair.mask)]


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) from the file's header, no pixels decoded. Raises `DataError` where the header cannot be read."""
    return image_header(path)[0]


def list_entries(path: Path) -> list[str]:
    """The lines of a list file, stripped, empty ones left out. Raises `DataError` where it cannot be read as text."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected a text file with one sample a line, but it cannot be read ({error})"
        ) from None


def by_stem(folder: Path) -> dict[str, Path]:
    """Stem -> image file of `folder`.

    Raises:
        DataError: `folder` is not there, or two files have one stem.
    """
    found: dict[str, Path] = {}
    for name in sorted(image_names(folder)):
        path = folder / name
        if path.stem in found:
            raise DataError(f"{path}: {found[path.stem].name} beside it has the same name; expected one file a sample")
        found[path.stem] = path
    return found


def paired(
    stems: Iterable[str],
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    *,
    prefix: str,
    source: Path,
    where: str,
) -> list[Pair]:
    """The files of each stem, in the order given; ids are prefix + stem.

    Args:
        images, masks: stem -> file, both by the image's stem.
        source: the list or folder that names the stems, for the message.
        where: the folder that the masks were looked for in, for the message.

    Raises:
        DataError: an image or a mask is missing.
    """
    pairs = []
    for stem in stems:
        if stem not in images:
            raise DataError(f"{source}: names the sample {stem}, but its image is missing; copy the dataset again")
        if stem not in masks:
            raise DataError(f"{images[stem]}: has no mask in {where}; add the mask, or remove the image from the set")
        pairs.append(Pair(prefix + stem, images[stem], masks[stem]))
    return pairs
