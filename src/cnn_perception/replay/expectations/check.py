"""One expectation and whether it was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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

    def as_mapping(self) -> dict[str, Any]:
        """Return the check as plain values, for JSON."""
        return {**asdict(self), "picture": self.picture and str(self.picture)}

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any]) -> Check:
        """Read what `as_mapping` gave; raises KeyError and TypeError for anything else."""
        return cls(**{**content, "picture": content["picture"] and Path(content["picture"])})
