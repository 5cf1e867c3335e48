"""What a demonstration found: the report of every node, every topic, the map; and its faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnn_perception.errors import PerceptionError

__all__ = ["DemoOutcome", "NodeOutcome"]

_QUANTILES = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """What a node reported at the end: frames, drops by reason, milliseconds per frame.

    `engine` is the execution provider of a network, the mapping engine of the mapper.
    """

    received: int
    processed: int
    dropped: Mapping[str, int]
    latency_ms: Mapping[str, float | None]
    compute_ms: Mapping[str, float | None]
    model: str
    engine: str
    values: Mapping[str, str]

    @classmethod
    def from_diagnostics(cls, name: str, values: Mapping[str, str]) -> NodeOutcome:
        """Read the key and value pairs of a node's diagnostics; raises PerceptionError."""
        try:
            return cls(
                received=int(values["received"]),
                processed=int(values["processed"]),
                dropped={
                    key.partition(".")[2]: int(value)
                    for key, value in sorted(values.items())
                    if key.startswith("dropped.")
                },
                latency_ms=_durations(values, "latency"),
                compute_ms=_durations(values, "compute"),
                model=values["model"],
                engine=values["provider"],
                values=dict(values),
            )
        except (KeyError, ValueError) as error:
            raise PerceptionError(f"diagnostics of {name} cannot be read: {error}") from error

    @property
    def core(self) -> str:
        """What did the work: a network and where it ran, or a mapping engine."""
        is_map = "resolution" in self.values
        return f"the mapping engine {self.engine}" if is_map else f"{self.model} on {self.engine}"

    @property
    def balanced(self) -> bool:
        """True when every frame is accounted for."""
        return self.received == self.processed + sum(self.dropped.values())


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """The result of a demonstration; nothing in `faults` means success.

    topics: messages that the nodes published; sent: messages that were played to them; main_input:
    the topic that each node takes its frames from.
    """

    nodes: Mapping[str, NodeOutcome]
    topics: Mapping[str, int]
    sent: Mapping[str, int]
    main_input: Mapping[str, str]
    faults: tuple[str, ...]

    def sent_to(self, node: str) -> int:
        """Return how many frames were played to a node; best effort may lose some on the way."""
        return self.sent.get(self.main_input[node], 0)

    def summary(self) -> dict[str, Any]:
        """Return the content of summary.json."""
        mapper = self.nodes["mapper"].values
        return {
            "nodes": {name: _node_summary(node) for name, node in self.nodes.items()},
            "topics": dict(sorted(self.topics.items())),
            "map": {
                "resolution": float(mapper.get("resolution", 0)),
                "occupied": int(mapper.get("occupied", 0)),
                "free": int(mapper.get("free", 0)),
                "bytes": int(mapper.get("bytes", 0)),
            },
        }


def _node_summary(node: NodeOutcome) -> dict[str, Any]:
    return {
        "received": node.received,
        "processed": node.processed,
        "dropped": dict(node.dropped),
        "latency_ms": dict(node.latency_ms),
        "provider": node.engine,
    }


def _durations(values: Mapping[str, str], name: str) -> dict[str, float | None]:
    found = {q: values.get(f"{name}_{q}_ms") for q in _QUANTILES}
    return {q: None if value is None else float(value) for q, value in found.items()}
