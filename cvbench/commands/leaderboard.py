"""`cvbench leaderboard`: publish what a store holds of a suite, or check that published boards still agree."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, DataRoot, Json, MachineFile, Paths

DEFAULT_OUT = Path("leaderboards")


def leaderboard(
    *paths: Paths,
    store: Annotated[
        Path | None,
        Parameter(help="Folder of runs [default: runs]; with --check: compute every number anew from them."),
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(help="Publish into OUT/SUITE/, and list all in OUT (--check: the boards to check) [leaderboards]."),
    ] = None,
    check: Annotated[
        bool, Parameter(help="Write nothing; every board must render to its files byte for byte.")
    ] = False,
    data_root: DataRoot = None,
    machine: MachineFile = None,
    json: Json = False,
) -> int:
    """Publish the leaderboard of finished runs, or check published ones.

    Without --out the board is only shown. Runs that are missing or failed are shown as that.
    """
    if check:
        return _check(out or DEFAULT_OUT, store, given=paths, json=json)
    from cvbench.commands.boards import finished, publish_board, show_table
    from cvbench.machine import load_machine
    from cvbench.store import Store as RunStore
    from cvbench.suite import load_suite

    targets, overrides = options.paths_and_overrides(paths)
    root = load_machine(machine, data_root=data_root).data_root
    suite = load_suite(targets, overrides)
    found = finished(suite, RunStore(store or DEFAULT_STORE), root, overrides, published=out is not None)
    folder = publish_board(found, out / suite.name) if out is not None else None
    if json:
        options.print_json({"board": folder, "leaderboard": found.model_dump(mode="json")})
        return 0
    show_table(found)
    if folder is not None:
        print(f"Board: {folder.resolve()}")
    return 0


def _check(root: Path, store: Path | None, *, given: Sequence[str], json: bool) -> int:
    if given:
        raise ValueError(f"--check takes the boards' folder as --out, not benchmarks, but got {' '.join(given)}")
    for name, folder in (("--out", root), ("--store", store)):
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; name it with {name}")
    from cvbench.page.files import check_all

    problems = check_all(root)
    if store is not None and not problems:
        problems = _recomputed(root, store)
    if json:
        options.print_json({"folder": root, "store": store, "problems": problems})
    elif not problems:
        print(f"{root}: every board renders to its files" + (f" and follows from {store}" if store else ""))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _recomputed(root: Path, store: Path) -> list[str]:
    from cvbench.board import read_board
    from cvbench.recomputing import differences
    from cvbench.store import Store as RunStore

    return [
        f"{path}: {problem}"
        for path in sorted(root.glob("**/board.json"))
        for problem in differences(read_board(path), RunStore(store))
    ]
