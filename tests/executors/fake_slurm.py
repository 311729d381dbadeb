"""`sbatch`, `srun`, `sacct` and `scontrol` as far as jobs notice: arrays run here, requeued jobs begin anew.

One program under all four names, first in PATH; state lies in files beside it. What `sbatch` was given stays there as
`script.sh`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

NAMES = ("sbatch", "srun", "sacct", "scontrol")
ARRAY = 4711


def install(folder: Path) -> None:
    """Puts the commands into a folder that is to come first in PATH."""
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} {folder} "$@"\n')
        (folder / name).chmod(0o755)


def sbatch(here: Path, script: str) -> None:
    """Keeps the script, answers as sbatch does, and runs the array in processes that outlive this one."""
    text = Path(script).read_text()
    (here / "script.sh").write_text(text)
    asked = re.search(r"^#SBATCH --array=0-(\d+)", text, re.MULTILINE)
    for index in range(int(asked[1]) + 1 if asked else 1):
        command = [sys.executable, __file__, "job", str(here), str(index)]
        log = (here / f"job{index}.log").open("w")
        subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    print(f"Submitted batch job {ARRAY}")


def job(here: Path, index: str) -> None:
    """One element of the array on its node, until it is not requeued any more."""
    told = {"JOB_ID": str(ARRAY + 1 + int(index)), "ARRAY_JOB_ID": str(ARRAY), "ARRAY_TASK_ID": index, "NTASKS": "1",
            "PROCID": "0", "LOCALID": "0", "NODEID": "0", "JOB_NUM_NODES": "1", "JOB_NODELIST": "node1",
            "JOB_NAME": "cvbench"}  # fmt: skip
    environment = os.environ | {f"SLURM_{name}": value for name, value in told.items()}
    requeued, state = here / f"{ARRAY}_{index}.requeued", here / f"{ARRAY}_{index}.state"
    while True:
        state.write_text("RUNNING")
        code = subprocess.run(["bash", str(here / "script.sh")], env=environment, check=False).returncode
        if not requeued.exists():
            break
        requeued.unlink()
    state.write_text("COMPLETED" if code == 0 else "FAILED")


def srun(here: Path, *arguments: str) -> None:
    """Runs the command with its output where the job wants it."""
    values = {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%j": "SLURM_JOB_ID", "%t": "SLURM_PROCID"}
    given = list(arguments)
    files = []
    for option in ("--output", "--error"):
        at = given.index(option)
        path = given[at + 1]
        for mark, name in values.items():
            path = path.replace(mark, os.environ[name])
        Path(path).parent.mkdir(exist_ok=True)
        files.append(open(path, "a"))  # noqa: SIM115 (as long as the command)
        del given[at : at + 2]
    given.remove("--unbuffered")
    sys.exit(subprocess.run(given, stdout=files[0], stderr=files[1], check=False).returncode)


def sacct(here: Path, *_: str) -> None:
    print("JobID|State|NodeList")
    for state in here.glob("*.state"):
        print(f"{state.stem}|{state.read_text()}|node1")


def scontrol(here: Path, verb: str, job_id: str) -> None:
    assert verb == "requeue"
    (here / f"{job_id}.requeued").touch()


if __name__ == "__main__":
    verbs = {"sbatch": sbatch, "job": job, "srun": srun, "sacct": sacct, "scontrol": scontrol}
    verbs[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
