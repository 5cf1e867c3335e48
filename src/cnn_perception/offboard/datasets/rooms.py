"""Labelled images of simulated rooms, rendered when they are asked for, or ahead into shards."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import DatasetError
from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.datasets.shards import open_shard, save_shard
from cnn_perception.offboard.simulation.labels import MASK_LABELS, OBJECT_CLASSES
from cnn_perception.types import RigidTransform

if TYPE_CHECKING:
    from cnn_perception.offboard.simulation.room import Room

__all__ = ["EVALUATION_SEED", "RenderedRooms", "scaled", "write_shards"]

EVALUATION_SEED = 1_000_000
"""Rooms from this seed on are for measuring; rooms below it are for training."""

_ROOMS_PER_SHARD = 50

_log = logging.getLogger(__name__)


class RenderedRooms(Dataset):
    """`views` images of each of `rooms` rooms, from the room with this seed on.

    The images are those of the simulated camera, 320 x 240, and the same in whatever order they are
    read. The room that was read last is kept open: furnishing one takes as long as five images.
    Reading raises PerceptionError where MuJoCo or OpenGL is missing.
    """

    def __init__(self, seed: int, rooms: int, views: int = 1) -> None:
        names = [f"room_{seed + k}_view_{v}" for k in range(rooms) for v in range(views)]
        super().__init__(names, OBJECT_CLASSES, "raise")
        self.mask_labels = MASK_LABELS
        self.seed = seed
        self.views = views
        self._room: Room | None = None
        self._rng = np.random.default_rng()
        self._poses: list[RigidTransform] = []

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_room": None}

    def close(self) -> None:
        """Free the open room; reading opens one again."""
        if self._room is not None:
            self._room.close()
            self._room = None

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return all indices with the rooms in random order, and the views of a room together."""
        rooms = rng.permutation(len(self) // self.views)
        order: NDArray[np.int64] = (rooms[:, None] * self.views + np.arange(self.views)).ravel()
        return order

    def _read(self, index: int) -> LabelledImage:
        number, view = divmod(index, self.views)
        room = self._opened(self.seed + number)
        while len(self._poses) <= view:
            self._poses.append(room.sample_view(self._rng))
        frame = room.render(self._poses[view], depth=False)
        return LabelledImage(
            frame.color,
            frame.mask,
            frame.boxes,
            frame.classes,
            frame.difficult,
            name=self.names[index],
        )

    def _opened(self, number: int) -> Room:
        from cnn_perception.offboard.simulation.room import Room

        if self._room is None or self._room.seed != number:
            self.close()
            self._room, self._poses = Room(number), []
            self._rng = np.random.default_rng([number, 2])
        return self._room


def scaled(image: LabelledImage, width: int, height: int) -> LabelledImage:
    """Return the image at another size: color averaged, mask nearest, boxes scaled."""
    rows, columns = image.mask.shape
    size = (width, height)
    color = cv2.resize(image.color, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(image.mask, size, interpolation=cv2.INTER_NEAREST)
    factor = np.array([width / columns, height / rows] * 2, np.float32)
    return replace(
        image,
        color=np.asarray(color, np.uint8),
        mask=np.asarray(mask, np.uint8),
        boxes=image.boxes * factor,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """A shard to be rendered."""

    path: Path
    seed: int
    rooms: int
    views: int
    size: tuple[int, int]

    def done(self) -> bool:
        """Return whether the file is there; raises DatasetError for one with other images."""
        try:
            records = open_shard(self.path)
        except DatasetError:
            return False
        count, height, width = records["mask"].shape
        if (count, (width, height)) != (self.rooms * self.views, self.size):
            raise DatasetError(
                f"{self.path} holds {count} images of {width}x{height}, not "
                f"{self.rooms * self.views} of {self.size[0]}x{self.size[1]}: delete it or take "
                "another folder"
            )
        return True


def write_shards(
    folder: Path,
    rooms: int,
    views: int,
    size: tuple[int, int],
    evaluation_rooms: int = 200,
    processes: int = 1,
) -> None:
    """Render training rooms 0, 1, ... and evaluation rooms into a folder; size: (width, height).

    Writes ``train_XXXX.npy`` with `views` images of each of 50 rooms, and ``val_XXXX.npy`` with one
    image of each evaluation room; the same whatever the number of `processes`. Shards that are
    there already are kept, so that an interrupted call can be repeated. Raises DatasetError for a
    folder with shards of other rooms, views or sizes, and PerceptionError where MuJoCo or OpenGL
    is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        _Job(
            folder / f"{split}_{first // _ROOMS_PER_SHARD:04d}.npy",
            seed + first,
            min(_ROOMS_PER_SHARD, count - first),
            per_room,
            size,
        )
        for split, seed, count, per_room in (
            ("val", EVALUATION_SEED, evaluation_rooms, 1),
            ("train", 0, rooms, views),
        )
        for first in range(0, count, _ROOMS_PER_SHARD)
    ]
    others = {*folder.glob("train_*.npy"), *folder.glob("val_*.npy")} - {job.path for job in jobs}
    if others:
        raise DatasetError(
            f"{min(others)} holds rooms beyond the {rooms} to train with and {evaluation_rooms} to "
            "measure with: delete it or take another folder"
        )
    left = [job for job in jobs if not job.done()]
    for count, job in enumerate(_rendered(left, processes), 1):
        _log.info(
            "%s: %d images, shard %d of %d", job.path, job.rooms * job.views, count, len(left)
        )


def _rendered(jobs: Iterable[_Job], processes: int) -> Iterator[_Job]:
    """Render shards, and yield each when it is written."""
    if processes == 1:
        yield from map(_render, jobs)
        return
    # A forked child would inherit OpenGL's state. Ctrl-C ends the children without a word.
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for done in as_completed([pool.submit(_render, job) for job in jobs]):
            yield done.result()
    except BrokenProcessPool as error:
        raise DatasetError(
            "a process that renders rooms was ended from outside: use fewer processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _render(job: _Job) -> _Job:
    rooms = RenderedRooms(job.seed, job.rooms, job.views)
    save_shard(job.path, [scaled(image, *job.size) for image in rooms])
    rooms.close()
    return job
