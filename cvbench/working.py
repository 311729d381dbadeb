"""The working folder inside a run's, where each try is written: what is in it, what the next try finds, how it ends."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Where a run is written until it is finished, inside its folder.
WORKING = ".new"
# In there, what a killed try leaves to go on from: `cvbench.resuming`, which judges whether it can be.
CHECKPOINT = "resume.ckpt"
DAMAGED = f"{CHECKPOINT}.damaged"  # one that could not be gone on from, for whoever wants to know why
BEST_KEPT = "best-at-"  # and a step: the best weights so far, as they were then
BEST = "best.ckpt"
# A finished try's record while all else is moved out of the working folder: nothing there is an old try's any more.
ARRIVING = "record.json.new"

# A job in a cluster's queue that is to do the run: `cvbench.queued`.
SUBMITTED = ".submitted"


def goes_on(path: Path) -> bool:
    """Whether something in a working folder is for the next try: what trackers wrote goes on, too."""
    return path.name in (CHECKPOINT, DAMAGED, "log.txt", "tensorboard", "wandb") or path.name.startswith(BEST_KEPT)


def clear_checkpoints(folder: Path, *, keep: str = "") -> None:
    """Removes what a killed try would go on from, but for the file that is named."""
    for path in folder.iterdir():
        known = path.name in (CHECKPOINT, f"{CHECKPOINT}.new", DAMAGED, BEST) or path.name.startswith(BEST_KEPT)
        if known and path.name != keep:
            path.unlink()


def move_out(working: Path, folder: Path, *, stays: bool = False) -> None:
    """What lies in the working folder to its place, then the record that waits for it; may be done again from anywhere.

    stays: what the next try goes on from stays where it is.
    """
    if working.is_dir():
        for path in working.iterdir():
            if not (stays and goes_on(path)):
                path.replace(folder / path.name)
        if not stays:
            working.rmdir()
    if (folder / ARRIVING).is_file():
        (folder / ARRIVING).replace(folder / "record.json")
    if (folder / SUBMITTED).is_file():  # at no moment is the run neither done nor in the queue
        (folder / SUBMITTED).unlink()


def to_disk(folder: Path) -> None:
    """Waits until the files are on the disk: after a power failure no record may stand beside half its evidence."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def remove(path: Path) -> None:
    """A file, link or folder, where it is there; links are removed, not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
