"""One expectation and whether it was met."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """An expectation after a replay.

    name: what was expected, short and unique in a run; message: one line that says what was found,
    and for a failure which frame is wrong and how; stamp_ns: the stamp of that frame; picture: what
    was expected beside what came, as a PNG or JPEG file.
    """

    name: str
    passed: bool
    message: str
    stamp_ns: int | None = None
    picture: Path | None = None
