"""The depth images and clouds of a bag, placed by its transforms: what a mapper eats, offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from cnn_perception.errors import BagError
from cnn_perception.mapping.scans import Scan
from cnn_perception.messages import drop_reason
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.scan_queue import TF, TF_STATIC, QueuedScan, ScanQueue
from cnn_perception.recording.streams import ScanStream

__all__ = ["BagScans"]

# How long, in recorded time, a scan is kept for its transform: as long as tf keeps those.
_PATIENCE_NS = 10_000_000_000
_POSES = (TF, TF_STATIC)


class BagScans:
    """The depth images and clouds of a bag in recorded order, with poses from its /tf, /tf_static.

    A scan that cannot be placed is skipped and counted in `skipped` by reason. Raises BagError for
    a bag without /tf and /tf_static and for topics that it does not have.
    """

    def __init__(self, bag: BagReader, streams: Sequence[ScanStream], map_frame: str) -> None:
        self._bag = bag
        self._streams = tuple(streams)
        self._map_frame = map_frame
        self._present = {topic.name: topic.count for topic in bag.topics}
        if not any(name in self._present for name in _POSES):
            raise BagError(f"{bag.path} has neither /tf nor /tf_static: record the robot's poses")
        self._count = sum(self._present.get(stream.topic, 0) for stream in streams)
        self.skipped: Counter[str] = Counter()
        self.last_error = ""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Scan]:
        queue = ScanQueue(self._streams, self._map_frame, _PATIENCE_NS, infos=self._present)
        wanted = [name for name in queue.topics if name in self._present or name not in _POSES]
        for item in self._bag.messages(wanted):
            yield from self._placed(queue.take(item))
        yield from self._placed(queue.finish())

    def _placed(self, scans: Iterable[QueuedScan]) -> Iterator[Scan]:
        for each in scans:
            if each.scan is not None:
                yield each.scan
            elif each.error is not None:
                self.skipped[drop_reason(each.error)] += 1
                self.last_error = str(each.error)
