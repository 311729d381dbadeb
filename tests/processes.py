"""Functions on several processes at once that can reach each other, as a launcher starts them; quick to start."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
import traceback
from collections.abc import Callable
from typing import Any

from cvbench.executors.distributed import free_port

LONGEST_SECONDS = 240.0


def on_processes(world: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """`work(rank, *arguments)` on `world` processes with torchrun's variables set; what they return, by rank.

    Raises AssertionError with the traceback of one that raised. work: of a module, so that it can be found there.
    """
    # Each process is a copy of one that has imported torch once: fresh ones would do nothing else most of the time, and
    # a copy of this one may meet its threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cvbench.harness", "cvbench.executors.local"])
    port, results = free_port(), context.SimpleQueue()
    arguments = (world, port, results, work, arguments)
    processes = [context.Process(target=_serve, args=(rank, *arguments), daemon=True) for rank in range(world)]
    for process in processes:
        process.start()
    try:
        return _gather(processes, results)
    finally:
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def _gather(processes: list[Any], results: Any) -> list[Any]:
    returned: dict[int, Any] = {}
    deadline = time.monotonic() + LONGEST_SECONDS
    while len(returned) < len(processes):
        if results.empty():
            assert time.monotonic() < deadline, "the processes did not finish"
            assert all(process.exitcode in (None, 0) for process in processes), "a process was killed"
            time.sleep(0.02)
            continue
        rank, error, value = results.get()
        assert error is None, f"rank {rank}: {error}"
        returned[rank] = pickle.loads(value)
    return [returned[rank] for rank in range(len(processes))]


def _serve(rank: int, world: int, port: int, results: Any, work: Callable[..., Any], arguments: Any) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        # Pickled here: a queue would share tensors' memory, which ends with this process.
        results.put((rank, None, pickle.dumps(work(rank, *arguments))))
    except BaseException:
        results.put((rank, traceback.format_exc(), None))
    os._exit(0)  # as `harness.main`: threads of process groups may outlive what they serve
