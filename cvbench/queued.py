"""Which runs a cluster has in its queue: a note beside each run that was submitted counts as long as its job lives."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cvbench.record import write_atomically
from cvbench.spec import RunSpec
from cvbench.store import Store
from cvbench.working import SUBMITTED

JOBS = "slurm"  # in a store: scripts and logs of its jobs


class Note(BaseModel):
    """What a run was submitted as. cluster: as `slurm.cluster` in machine.yaml; a job of `local` is a process here."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    cluster: Literal["slurm", "local"]
    job_id: Annotated[str, Field(pattern=r"^\d+(_\d+)?$")]


def note(store: Store, run: RunSpec, cluster: str, job_id: str) -> None:
    """Notes the job that a run was submitted as; the note goes when the run is done or fails."""
    with contextlib.suppress(OSError, ValueError):  # the job runs all the same, or tells what is wrong with the folder
        text = Note.model_validate({"cluster": cluster, "job_id": job_id}).model_dump_json()
        write_atomically(store.made(run) / SUBMITTED, text + "\n")


def queued(store: Store, runs: Sequence[RunSpec]) -> dict[str, str]:
    """run_id -> job of those runs that wait in the queue or are going. A job that cannot be asked about is gone."""
    if not (store.root / JOBS).is_dir():  # nothing was ever submitted from here
        return {}
    notes = {run.run_id: found for run in runs if (found := _noted(store.folder(run) / SUBMITTED)) is not None}
    there = _in_queue([one.job_id for one in notes.values() if one.cluster == "slurm"])
    return {
        run_id: one.job_id
        for run_id, one in notes.items()
        if (one.job_id in there if one.cluster == "slurm" else _lives(one.job_id))
    }


def _noted(path: Path) -> Note | None:
    try:
        return Note.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _in_queue(jobs: Sequence[str]) -> set[str]:
    """Those that SLURM holds, of the same arrays at least; squeue leaves out what has ended."""
    arrays = sorted({job.partition("_")[0] for job in jobs})
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(arrays)}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False) if arrays else None
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(found.stdout.split()) if found is not None else set()


def _lives(job: str) -> bool:
    """Whether the process is still submitit's: its number may be another's by now."""
    try:
        return b"submitit" in Path(f"/proc/{job}/cmdline").read_bytes()
    except OSError:
        return False
