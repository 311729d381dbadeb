"""`Loader`: batches in an order that is a pure function of (seed, epoch), resumable, split over processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from cvbench.data.base import DataError
from cvbench.loading.draws import epoch_order, sample_keys, uniforms
from cvbench.loading.geometry import DRAWS


class Source(Protocol):
    """Where a loader's batches come from.

    in_memory: fetching is slicing, so worker processes would only slow it. crops: random crops are already cut.
    """

    ids: Sequence[str]
    in_memory: bool
    crops: bool

    def fetch(self, index: NDArray[np.int64], draws: NDArray[np.float32]) -> Any:
        """The batch of the samples at `index` (B,), with their draws (B, K)."""
        ...


class Loader:
    """Batches of this process. Training shuffles, draws and drops the last incomplete batch; evaluation does neither.

    batch_size: of this process; the global batch is `world` times that, and `accumulate` times where each process takes
    its share in so many parts, one after the other. The rows of a global batch are dealt out as [rank::world], so that
    any number of processes sees the same global batches. steps: fewer global batches an epoch. draws: False where
    nothing is augmented. Raises ValueError where a part would have no sample.

    State: {epoch, position}, the next batch to hand out; an iterator that is left in mid-epoch is taken up there by the
    next one.
    """

    # Lightning looks for these on a loader and would wrap it if they were missing.
    sampler = None
    batch_sampler = None

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        training: bool,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        steps: int | None = None,
        draws: bool = True,
        accumulate: int = 1,
    ) -> None:
        self.source, self.batch_size, self.training, self.seed = source, batch_size, training, seed
        self.rank, self.world, self.workers = rank, world, 0 if source.in_memory else workers
        self.steps, self.accumulate = steps, accumulate
        if training and len(source.ids) < world * accumulate:
            parts = f"{accumulate} parts" if world == 1 else f"{accumulate} parts on each of {world} devices"
            raise ValueError(f"Expected a sample for each of {parts} of a batch, but there are {len(source.ids)}")
        self.epoch = self.position = 0
        self._keys = sample_keys(source.ids) if training and draws else None

    def __len__(self) -> int:
        size = len(self.source.ids)
        if self.training:
            return min(self.steps or size, max(1, size // self._step)) * self.accumulate
        mine = len(range(self.rank, size, self.world))
        return -(-mine // self.batch_size)

    @property
    def _step(self) -> int:
        """Samples of a whole global batch."""
        return self.batch_size * self.world * self.accumulate

    def __iter__(self) -> Iterator[Any]:
        if not self.training:
            yield from self._fetch_all(self._indices())
            return
        indices = self._indices()
        for batch in self._fetch_all(indices[self.position :]):
            # Counted before the batch is handed out: Lightning never asks for more than the last one.
            self.position += 1
            if self.position == len(indices):
                self.epoch, self.position = self.epoch + 1, 0
            yield batch

    def _indices(self) -> list[NDArray[np.int64]]:
        size, step = len(self.source.ids), self._step
        if not self.training:
            mine = np.arange(self.rank, size, self.world, dtype=np.int64)
            return [mine[start : start + self.batch_size] for start in range(0, len(mine), self.batch_size)]
        order = epoch_order(self.seed, self.epoch, size)
        batches = range(len(self) // self.accumulate)
        shares = [order[batch * step : (batch + 1) * step][self.rank :: self.world] for batch in batches]
        return [part for rows in shares for part in np.array_split(rows, self.accumulate)]

    def _wanted(self, indices: list[NDArray[np.int64]]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Each batch's samples and their draws; those of several batches at once cost little more than of one."""
        for first in range(0, len(indices), 16):
            some = indices[first : first + 16]
            draws = self._draws(np.concatenate(some))
            for index in some:
                yield index, draws[: len(index)]
                draws = draws[len(index) :]

    def _draws(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._keys is None:
            return np.zeros((len(index), 0), dtype=np.float32)
        return uniforms(self.seed, self.epoch, self._keys[index], DRAWS)

    def _fetch_all(self, indices: list[NDArray[np.int64]]) -> Iterator[Any]:
        wanted = self._wanted(indices)
        if not self.workers:
            for index, draws in wanted:
                yield self.source.fetch(index, draws)
            return
        # A worker fetches a whole batch; one sample at a time would send each through its own queue entry.
        batches: DataLoader[Any] = DataLoader(
            _Whole(self.source),  # type: ignore[arg-type]
            sampler=wanted,  # read as the workers need it
            batch_size=None,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else the workers' seeds would come from, and move on, the global one
        )
        for batch in batches:
            if isinstance(batch, _Unreadable):
                raise DataError(batch.message)
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Raises ValueError for a position that an epoch of this loader does not have."""
        if state["position"] >= len(self):
            raise ValueError(
                f"Expected a position below the {len(self)} batches of an epoch, but got {state['position']}: "
                "the state was saved with another batch size, number of processes or dataset"
            )
        self.epoch, self.position = state["epoch"], state["position"]


class _Unreadable(NamedTuple):
    """Damaged data as a worker tells of it; raised there, it would come wrapped in a traceback that hides the file."""

    message: str


class _Whole:
    """A source as the map-style dataset that torch's workers want."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source.ids)

    def __getitem__(self, wanted: tuple[NDArray[np.int64], NDArray[np.float32]]) -> Any:
        try:
            return self.source.fetch(*wanted)
        except DataError as error:
            return _Unreadable(str(error))
