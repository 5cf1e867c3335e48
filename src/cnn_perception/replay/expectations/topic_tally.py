"""The frames of a topic of results, counted while they are compared; the check that comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.comparers import Difference
from cnn_perception.replay.expectations.failure_pictures import Page, write_picture
from cnn_perception.replay.moments import FrameTime, at
from cnn_perception.replay.run import ReplayRun

__all__ = ["TopicTally"]


@dataclass(slots=True)
class TopicTally:
    """How many frames of a topic were compared, how many are wrong, and how the first one is."""

    topic: str
    frames: int = 0
    wrong: int = 0
    first: FrameTime | None = None
    what: str = ""
    page: Page | None = None

    @property
    def node(self) -> str:
        """The node that publishes the topic."""
        return self.topic.strip("/").rpartition("/")[0]

    def take(self, time: FrameTime, found: Difference, frames: int = 1) -> None:
        """Count what was recorded at a time, and the difference if there is one."""
        self.frames += frames
        if found.what:
            if self.first is None:
                self.first, self.what, self.page = time, found.what, found.page
            self.wrong += 1

    def check(self, run: ReplayRun, kind: str, fine: str) -> Check:
        """Return the check ``kind.topic``, which says `fine` of its frames where none is wrong."""
        name, first = f"{kind}.{self.topic}", self.first
        if first is None:
            return Check(name, True, f"{self.frames} frames{fine}")
        picture = None
        if self.page is not None:
            picture = write_picture(run, name, self.node, first.recorded_ns, self.page)
        frames = "frame" if self.frames == 1 else "frames"
        text = (
            f"{self.topic}: {self.wrong} of {self.frames} {frames} differ, "
            f"first at {at(run, first)}: {self.what}"
        )
        return Check(name, False, text, first.stamp_ns, picture)
