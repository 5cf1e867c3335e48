"""The transform tree over time: what tf2's buffer does, without ROS, live and offline alike.

A lookup never guesses: it interpolates at the exact stamp or raises TransformError, which says
which edge has no data and by how much. See REP-105 for the usual frames.
"""

from __future__ import annotations

import logging
import math
import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnn_perception.errors import MessageError, TransformError
from cnn_perception.messages.decode import decode_transforms
from cnn_perception.types import RigidTransform, StampedTransform

__all__ = ["TransformBuffer", "interpolate"]

_LOG = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000


def interpolate(first: RigidTransform, second: RigidTransform, fraction: float) -> RigidTransform:
    """Blend two poses: the translation linearly, the rotation by slerp along the shorter arc.

    fraction 0 gives `first`, 1 gives `second` (Shoemake 1985).
    """
    start = np.array(first.quaternion())
    end = np.array(second.quaternion())
    cosine = float(start @ end)
    if cosine < 0.0:
        end, cosine = -end, -cosine
    if cosine > 1.0 - 1e-9:
        # The sine of so small an angle has no digits left; the chord is the arc here.
        blended = start + fraction * (end - start)
    else:
        angle = math.acos(cosine)
        blended = math.sin((1.0 - fraction) * angle) * start + math.sin(fraction * angle) * end
    x, y, z, w = (float(value) for value in blended)
    tx, ty, tz = (
        float(value)
        for value in first.translation + fraction * (second.translation - first.translation)
    )
    return RigidTransform.from_quaternion((tx, ty, tz), (x, y, z, w))


@dataclass(slots=True)
class _Edge:
    """How one frame moves in its parent: samples by stamp, or one static transform."""

    static: StampedTransform | None = None
    stamps: list[int] = field(default_factory=list)
    samples: list[StampedTransform] = field(default_factory=list)

    @property
    def newest_parent(self) -> str:
        return self.static.parent if self.static is not None else self.samples[-1].parent

    def parents(self) -> set[str]:
        if self.static is not None:
            return {self.static.parent}
        return {sample.parent for sample in self.samples}

    def insert(self, sample: StampedTransform, horizon_ns: int) -> None:
        self.static = None
        index = bisect_left(self.stamps, sample.stamp_ns)
        if index < len(self.stamps) and self.stamps[index] == sample.stamp_ns:
            self.samples[index] = sample
            return
        self.stamps.insert(index, sample.stamp_ns)
        self.samples.insert(index, sample)
        expired = bisect_left(self.stamps, self.stamps[-1] - horizon_ns)
        if expired:
            del self.stamps[:expired]
            del self.samples[:expired]

    def keep_until(self, stamp_ns: int) -> bool:
        """Drop later samples; false when none is left."""
        end = bisect_right(self.stamps, stamp_ns)
        del self.stamps[end:]
        del self.samples[end:]
        return bool(self.stamps)

    def at(self, stamp_ns: int) -> tuple[str, RigidTransform]:
        """Return the parent and parent_from_child at a stamp; raises TransformError."""
        if self.static is not None:
            return self.static.parent, self.static.parent_from_child
        index = bisect_left(self.stamps, stamp_ns)
        if index == len(self.stamps):
            raise self._outside(stamp_ns, self.samples[-1])
        after = self.samples[index]
        if after.stamp_ns == stamp_ns:
            return after.parent, after.parent_from_child
        if index == 0:
            raise self._outside(stamp_ns, after)
        before = self.samples[index - 1]
        if before.parent != after.parent:
            raise TransformError(
                f"frame {after.child} moved from parent {before.parent} to {after.parent} between "
                f"{_seconds(before.stamp_ns)} and {_seconds(after.stamp_ns)}",
                retriable=False,
            )
        fraction = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
        blended = interpolate(before.parent_from_child, after.parent_from_child, fraction)
        return after.parent, blended

    @staticmethod
    def _outside(stamp_ns: int, nearest: StampedTransform) -> TransformError:
        ahead = nearest.stamp_ns < stamp_ns
        gap = abs(stamp_ns - nearest.stamp_ns) / SECOND_NS
        return TransformError(
            f"{'newest' if ahead else 'oldest'} data for {nearest.parent} -> {nearest.child} is "
            f"{_seconds(nearest.stamp_ns)} ({gap:.3f} s {'before' if ahead else 'after'})",
            retriable=ahead,
        )


@dataclass(slots=True)
class _Chain:
    """The way from a frame towards the root: frames passed, and frame_from_start for each."""

    frames: list[str]
    poses: list[RigidTransform]
    broken: TransformError | None = None


class TransformBuffer:
    """A tree of frames with the recent motion of each, safe to use from several threads.

    Each frame keeps its samples of the last `horizon_ns`, sorted by stamp: late arrivals are sorted
    in, and of two samples with one stamp the later arrival wins. Static transforms hold for ever.

    Time going backwards (a recording that loops, a simulation that restarts): a sample that is more
    than `jump_ns` older than the newest of the same frame cannot be mere disorder, since the
    samples of one frame come from one publisher; all samples are then forgotten, static transforms
    are kept, and `jumps` counts one more. Shorter jumps cannot be told from disorder: whoever sees
    one elsewhere (a clock, the stamps of images) calls `rewind`.
    """

    def __init__(self, horizon_ns: int = 10 * SECOND_NS, jump_ns: int = 2 * SECOND_NS) -> None:
        self._horizon_ns = horizon_ns
        self._jump_ns = jump_ns
        self._edges: dict[str, _Edge] = {}
        self._lock = threading.RLock()
        self.jumps = 0
        self.refused = 0

    def add(self, transform: StampedTransform, static: bool = False) -> None:
        """Take in one edge; a leading '/' of frame names is dropped.

        Raises MessageError(``bad_transform``) for an empty name, a frame in itself, a loop of
        frames and values that are not finite; the buffer is unchanged then.
        """
        sample = _checked(transform)
        with self._lock:
            self._refuse_loop(sample)
            edge = self._edges.get(sample.child)
            if static:
                self._edges[sample.child] = _Edge(static=sample)
            elif edge is None:
                self._insert(_Edge(), sample)
            elif edge.stamps and edge.stamps[-1] - sample.stamp_ns > self._jump_ns:
                _LOG.warning(
                    "transform %s -> %s went back from %s to %s: forgetting all moving transforms",
                    sample.parent,
                    sample.child,
                    _seconds(edge.stamps[-1]),
                    _seconds(sample.stamp_ns),
                )
                self.jumps += 1
                self._forget_samples()
                self._insert(_Edge(), sample)
            else:
                self._insert(edge, sample)

    def learn(self, message: Any, static: bool = False) -> list[MessageError]:
        """Take in the edges of a tf2_msgs/TFMessage; returns why some were refused."""
        refused: list[MessageError] = []
        for transform in decode_transforms(message, refused):
            try:
                self.add(transform, static)
            except MessageError as error:  # one bad edge must not cost the others
                refused.append(error)
        self.refused += len(refused)
        return refused

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """Return target_from_source at `stamp_ns`, interpolated and never extrapolated.

        A frame looked up in itself is the identity, known or not. Raises TransformError.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        if target == source:
            return RigidTransform.identity()
        with self._lock:
            try:
                return self._resolve(target, source, stamp_ns)
            except TransformError as error:
                raise TransformError(
                    f"no transform {target} <- {source} at {_seconds(stamp_ns)}: {error}",
                    retriable=error.retriable,
                    edge=f"{target} <- {source}",
                ) from None

    def clear(self) -> None:
        """Forget all samples, because time jumped; static transforms are kept."""
        with self._lock:
            self._forget_samples()

    def rewind(self, stamp_ns: int, slack_ns: int = SECOND_NS) -> None:
        """Forget what lies after a stamp, because time went back to it.

        Samples up to `slack_ns` ahead are kept: those of the new time may be there already, and
        some publishers date theirs a little ahead.
        """
        with self._lock:
            for name, edge in list(self._edges.items()):
                if edge.static is None and not edge.keep_until(stamp_ns + slack_ns):
                    del self._edges[name]

    def frames(self) -> tuple[str, ...]:
        """Return the names of all known frames, sorted."""
        with self._lock:
            names = set(self._edges)
            for edge in self._edges.values():
                names |= edge.parents()
            return tuple(sorted(names))

    def _insert(self, edge: _Edge, sample: StampedTransform) -> None:
        edge.insert(sample, self._horizon_ns)
        self._edges[sample.child] = edge

    def _forget_samples(self) -> None:
        self._edges = {name: edge for name, edge in self._edges.items() if edge.static is not None}

    def _refuse_loop(self, sample: StampedTransform) -> None:
        path = [sample.child, sample.parent]
        while path[-1] in self._edges and len(path) <= len(self._edges) + 2:
            path.append(self._edges[path[-1]].newest_parent)
            if path[-1] == sample.child:
                raise MessageError(
                    "bad_transform",
                    f"transform {sample.parent} -> {sample.child} closes a loop of frames "
                    f"({' -> '.join(reversed(path))}): one is published the wrong way round",
                )

    def _resolve(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        up = self._climb(source, target, stamp_ns)
        if up.frames[-1] == target:
            return up.poses[-1]
        down = self._climb(target, source, stamp_ns)
        for frame, frame_from_target in zip(down.frames, down.poses, strict=True):
            if frame in up.frames:
                return frame_from_target.inverse() @ up.poses[up.frames.index(frame)]
        known = self.frames()
        for frame in (source, target):
            if frame not in known:
                raise TransformError(
                    f"frame {frame} is unknown; known: {', '.join(known) or 'none'}", retriable=True
                )
        raise self._unconnected(up, down)

    def _climb(self, start: str, stop: str, stamp_ns: int) -> _Chain:
        chain = _Chain([start], [RigidTransform.identity()])
        while chain.frames[-1] != stop and chain.frames[-1] in self._edges:
            try:
                parent, pose = self._edges[chain.frames[-1]].at(stamp_ns)
            except TransformError as error:
                # Kept, not raised: the other chain may meet this one below the gap.
                chain.broken = error
                break
            if parent in chain.frames:
                break  # parents that changed over time can close a loop at one past stamp
            chain.poses.append(pose @ chain.poses[-1])
            chain.frames.append(parent)
        return chain

    @staticmethod
    def _unconnected(up: _Chain, down: _Chain) -> TransformError:
        broken = [chain.broken for chain in (up, down) if chain.broken is not None]
        if not broken:
            return TransformError(
                f"the frames are in two trees, under {up.frames[-1]} and under {down.frames[-1]}: "
                "publish a transform between them",
                retriable=True,
            )
        final = [error for error in broken if not error.retriable]
        return (final or broken)[0]


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns / SECOND_NS:.3f} s"


def _checked(transform: StampedTransform) -> StampedTransform:
    parent, child = transform.parent.lstrip("/"), transform.child.lstrip("/")
    pose = transform.parent_from_child
    if not parent or not child:
        problem = "has an empty frame name"
    elif parent == child:
        problem = "places a frame in itself"
    elif not (np.isfinite(pose.rotation).all() and np.isfinite(pose.translation).all()):
        problem = "has values that are not finite"
    else:
        return StampedTransform(parent, child, transform.stamp_ns, pose)
    raise MessageError(
        "bad_transform",
        f"transform {parent!r} -> {child!r} {problem}: fix the node that publishes it",
    )
