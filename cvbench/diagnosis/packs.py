"""Which data sets are there and whole, as far as a listing of their files tells; `cvbench data verify` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cvbench import catalog
from cvbench.data_here import load_dataset
from cvbench.diagnosis.finding import Finding
from cvbench.entry import Entry
from cvbench.spec import DatasetRef


def packs(root: Path) -> Iterator[Finding]:
    """One line of those that are whole, one of those that are not here, and one for each that is here in part."""
    here, away = [], []
    for entry in catalog.entries("datasets"):
        chosen, wrong = catalog.complete(entry, {})
        if wrong or entry.year == "any":  # somebody's own images: nothing is known without their path
            continue
        try:
            load_dataset(entry.tasks[0], DatasetRef(name=entry.name, options=chosen, version=entry.version), root)
            here.append(entry.name)
        except (ValueError, OSError) as error:
            if not _begun(entry, root):
                away.append(entry.name)
                continue
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            yield Finding("warning", f"data {entry.name}", reason, f"cvbench data verify {entry.name}")
    yield Finding("ok", "data here", ", ".join(here) or "none")
    if away:
        yield Finding("ok", "data not here", ", ".join(away), "`cvbench data list` says how to get them")


def _begun(entry: Entry, root: Path) -> bool:
    """Whether there is something in the folder that the data set goes by."""
    folder = root / entry.name
    return folder.is_dir() and any(folder.iterdir())
