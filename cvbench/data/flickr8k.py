"""Flickr8k: 8,000 photographs of people and dogs doing things, each described by five people.

Year: 2013
Source: Hodosh et al., "Framing Image Description as a Ranking Task", JAIR 47, 2013
Licence: research and education only; images the photographers' own (Flickr terms)
Tasks: captioning

Layout: flickr8k/ with the images in Images/, Flicker8k_Dataset/ (as published) or Flickr8k_Dataset/, and
Flickr8k.token.txt with Flickr_8k.{train,dev,test}Images.txt in Flickr8k_text/ or beside it: 6,000, 1,000 and 1,000
images. Where there is no token file, captions.txt (image,caption), as Kaggle has it; where there are no lists, splits
are fixed shares by the hash of the name, which are comparable with nothing that was published. Captions are as they
were written: a few are no sentence, and ten images have one twice.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from cvbench.data.base import Dataset, Role
from cvbench.data.box_files import contained
from cvbench.data.caption_entries import Captions, Entry, grouped, read_table, read_tokens
from cvbench.data.caption_files import caption_dataset
from cvbench.data.caption_lists import check_captioned, check_known, check_there, in_roles, read_list
from cvbench.data.files import image_names, need
from cvbench.data.revision import revision
from cvbench.data.shares import Shares, assigned

VERSION = 1
OFFICIAL_SIZES = [{"train": 6000, "val": 1000, "test": 1000}]
FOLDER = "flickr8k"
# The sums are those that torchvision for R and mlpack's examples check. The texts, which are small, come first: an
# archive is not fetched where the dataset builds without it.
FILES = {
    "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_text.zip": "md5:bf6c1abcb8e4a833b7f922104de18627",  # noqa: E501
    "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_Dataset.zip": "md5:f18a1e2920de5bd84dae7cf08ec78978",  # noqa: E501
}
IMAGES = ("Images", "Flicker8k_Dataset", "Flickr8k_Dataset")
PARTS: dict[Role, str] = {"train": "train", "val": "dev", "test": "test"}
# The token file has five captions of an image that is in no split and not among the 8,091 published, the first of them
# under a mangled name.
UNPUBLISHED = ("2258277193_586949ec62.jpg", "2258277193_586949ec62.jpg.1")
# Where there are no lists: about as many images in each split as officially.
SHARES = Shares("flickr8k", val=0.125, test=0.125)
Named = dict[Role | None, list[str]]  # under None all of them, where there are no lists
_REMEDY = (
    "Fetch it with `cvbench data fetch flickr8k` (1.1 GB), or unpack Flickr8k_Dataset.zip and Flickr8k_text.zip into "
    "flickr8k/."
)


def build(root: Path, *, min_count: int = 5, partial: bool = False) -> Dataset:
    """Flickr8k with its official splits.

    Args:
        min_count: how often a word must occur in the captions of train to be in the vocabulary.
        partial: images that are named and not there are left out; the protocol then says how many, so that nothing
            compares with scores on all of them. False: they are refused.

    Raises:
        DataError: the data are missing, damaged or not in the layout.
    """
    folder = need(root / FOLDER, "flickr8k", _REMEDY, root=root)
    images = next((folder / name for name in IMAGES if (folder / name).is_dir()), None)
    images = images or need(folder / IMAGES[0], "flickr8k", _REMEDY)
    there = set(image_names(images))
    captions, source = _captions(folder)
    lists = _lists(folder)
    given: Named = {role: read_list(path) for role, path in lists.items()} or {None: list(captions)}
    check_captioned(given, captions, source)
    if not partial:
        remedy = "unpack all of them, or set `partial: true` to score those that are there"
        for role, names in given.items():
            check_there(names, there, images, lists[role] if role else source, remedy)
        check_known(captions, there, images, source)
    named: Named = {role: [name for name in names if name in there] for role, names in given.items()}
    splits, roles = assigned(in_roles(named, images, captions), SHARES)
    if lists:
        roles = {role: f"official {part}" for role, part in PARTS.items()}
    return caption_dataset(
        splits,
        name="flickr8k",
        min_count=min_count,
        protocol={"roles": roles, **_partly(given, there)},
        revision=revision(
            folder, (path for split in splits.values() for path in split.paths), [source, *lists.values()]
        ),
        licence="research and education only; images the photographers' own (Flickr terms)",
        remedy="Unpack all images, or correct the lists of names.",
    )


def _captions(folder: Path) -> tuple[Captions, Path]:
    """The captions of each image, and the file that they come from."""
    tokens = _first(folder, "Flickr8k.token.txt")
    if tokens.is_file():
        return grouped(entry for entry in read_tokens(tokens) if entry.image not in UNPUBLISHED), tokens
    table = _first(folder, "captions.txt")
    if not table.is_file():
        need(tokens, "flickr8k", _REMEDY)  # raises
    rows = read_table(table, ("image", "caption"))
    entries = (Entry(contained(row.values["image"].strip(), row.where), row.values["caption"], row.where)
               for row in rows)  # fmt: skip
    return grouped(entry for entry in entries if entry.image not in UNPUBLISHED), table


def _lists(folder: Path) -> dict[Role, Path]:
    """The lists of all three splits; empty where there is none of them."""
    lists = {role: _first(folder, f"Flickr_8k.{part}Images.txt") for role, part in PARTS.items()}
    if not any(path.is_file() for path in lists.values()):
        return {}
    return {role: need(path, "flickr8k", _REMEDY) for role, path in lists.items()}


def _first(folder: Path, name: str) -> Path:
    """Where the file is: in the folder of texts, or beside it, as the archive is packed."""
    beside = folder / name
    return beside if beside.is_file() else folder / "Flickr8k_text" / name


def _partly(given: Named, there: Collection[str]) -> dict[str, str]:
    """What the protocol says where images are missing."""
    counts = {role or "all": (sum(name in there for name in names), len(names)) for role, names in given.items()}
    if all(present == total for present, total in counts.values()):
        return {}
    parts = (f"{role} {present} of {total}" for role, (present, total) in counts.items())
    return {"images": f"{', '.join(parts)}: the others are not there"}
