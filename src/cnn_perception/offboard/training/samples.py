"""The images of every batch, as a pure function of the seed and the batch's number."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from cnn_perception.errors import DatasetError, PerceptionError
from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.training.parallel import TrainingGroup
from cnn_perception.offboard.training.task import Task

__all__ = ["Batch", "Batches", "Tensors", "load_batches"]

Tensors = dict[str, Tensor]
"""Samples of a batch, stacked, by name."""

_PREFETCH = 4

_log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Samples, and why images were skipped, by name, that were not before in this process."""

    tensors: Tensors
    skipped: Mapping[str, str]


class Batches(TorchDataset[Batch]):
    """The batches of a run, by number.

    Sample n of a run is image n mod N of a random order of all N images, a new order for every
    round, and is varied with a random generator made from the seed and n. The members of a
    training group take turns, so that none sees what another sees. In place of a broken image that
    is to be skipped, the next in the order that can be used is taken. So a batch is the same
    whenever, wherever and after whatever it is loaded.
    """

    def __init__(
        self, data: Dataset, task: Task, seed: int, batch: int, group: TrainingGroup | None = None
    ) -> None:
        if len(data) == 0:
            raise DatasetError("there are no images to learn from: check data.path and data.train")
        self.data = data
        self.task = task
        self.seed = seed
        self.batch = batch
        self.group = group or TrainingGroup()
        self._orders: dict[int, NDArray[np.int64]] = {}

    def __getitem__(self, number: int) -> Batch:
        """Return this process's batch of a number, counted from 0."""
        known = set(self.data.broken_files)
        first = (number * self.group.size + self.group.rank) * self.batch
        samples = [self.sample(first + k) for k in range(self.batch)]
        broken = self.data.broken_files
        return Batch(
            {
                name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
                for name in samples[0]
            },
            {name: broken[name] for name in broken.keys() - known},
        )

    def sample(self, number: int) -> Mapping[str, np.ndarray]:
        """Return one sample of the run; raises DatasetError for a broken image, or for all."""
        order = self._order(number // len(self.data))
        place = number % len(self.data)
        candidates = (int(order[(place + k) % len(order)]) for k in range(len(order)))
        image = next(self.data.images(candidates), None)
        if image is None:
            raise DatasetError(f"none of the {len(self.data)} images can be used")
        return self.task.sample(image, np.random.default_rng([self.seed, number]))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of images in an epoch; a batch may reach into the next one."""
        if epoch not in self._orders:
            # The 1 keeps it apart from the generators of samples.
            rng = np.random.default_rng([self.seed, epoch, 1])
            self._orders = {k: v for k, v in self._orders.items() if k == epoch - 1}
            self._orders[epoch] = self.data.shuffled(rng)
        return self._orders[epoch]


def load_batches(
    batches: Batches, first: int, last: int, workers: int, *, pin_memory: bool = False
) -> Generator[Tensors, None, None]:
    """Yield batches first to last - 1 in order, loaded by processes ahead of use.

    Where `workers` is 0 they are loaded here; there are at most as many processes as cores. However
    many there are, the batches are the same, and so are the errors.
    """
    if workers == 0 or first >= last:
        yield from (batches[number].tensors for number in range(first, last))
        return
    loader = DataLoader(
        _Caught(batches),
        batch_size=None,
        sampler=range(first, last),
        num_workers=min(workers, len(os.sched_getaffinity(0))),
        prefetch_factor=_PREFETCH,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
        # A forked child would inherit locks of the threads that OpenCV and ONNX Runtime may run.
        multiprocessing_context="spawn",
    )
    with _undisturbed():
        iterator = iter(loader)
    skipped: set[str] = set()
    try:
        for batch in iterator:
            if isinstance(batch, PerceptionError):
                raise batch
            for name in batch.skipped.keys() - skipped:
                _log.warning("skipped: %s", batch.skipped[name])
            skipped |= batch.skipped.keys()
            yield batch.tensors
    except (ConnectionError, EOFError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker (pid" not in str(error):
            raise
        raise DatasetError(
            "a process that loads images was ended from outside, perhaps for want of memory: lower "
            "optimisation.workers"
        ) from error


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes that no Ctrl-C ends, and whose end raises nothing where it is not expected.

    Ctrl-C reaches every process of the terminal, but it is the trainer's to answer. Children
    inherit what is blocked; ignoring it once they run would come seconds too late.
    """
    resource_tracker.ensure_running()  # first, since starting it unblocks the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # PyTorch's handler would raise wherever the main thread is, in the midst of a step. The
        # iterator finds out by itself.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler)


class _Caught(TorchDataset[Batch | PerceptionError]):
    """Batches, or the error there was instead: raised, PyTorch would add pages to its text."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, number: int) -> Batch | PerceptionError:
        try:
            return self.batches[number]
        except PerceptionError as error:
            return error


def _start_worker(_number: int) -> None:
    cv2.setNumThreads(1)
    # What each process finds broken is told once, by `load_batches`.
    logging.getLogger("cnn_perception").setLevel(logging.ERROR)
