"""The report of a demonstration is read from diagnostics and must balance."""

from __future__ import annotations

import json

import pytest

from cnn_perception.demo.outcome import DemoOutcome, NodeOutcome
from cnn_perception.errors import PerceptionError

DIAGNOSTICS = {
    "received": "12",
    "processed": "9",
    "dropped.superseded": "2",
    "dropped.unknown_encoding": "1",
    "in_flight": "0",
    "latency_p50_ms": "4.5",
    "latency_p95_ms": "9.25",
    "latency_p99_ms": "12.0",
    "compute_p50_ms": "3.5",
    "model": "rooms_ssdlite",
    "provider": "CPUExecutionProvider",
}


def test_diagnostics_are_read() -> None:
    report = NodeOutcome.from_diagnostics("detector", DIAGNOSTICS)
    assert report.dropped == {"superseded": 2, "unknown_encoding": 1}
    assert report.latency_ms == {"p50": 4.5, "p95": 9.25, "p99": 12.0}
    assert report.compute_ms == {"p50": 3.5, "p95": None, "p99": None}
    assert report.balanced


def test_a_lost_frame_does_not_balance() -> None:
    report = NodeOutcome.from_diagnostics("detector", {**DIAGNOSTICS, "received": "13"})
    assert not report.balanced


@pytest.mark.parametrize(("key", "value"), [("received", "many"), ("processed", None)])
def test_unreadable_diagnostics_are_an_error(key: str, value: str | None) -> None:
    values = {**DIAGNOSTICS, key: value}
    if value is None:
        del values[key]
    with pytest.raises(PerceptionError, match="diagnostics of detector cannot be read"):
        NodeOutcome.from_diagnostics("detector", values)


def test_the_summary_is_json_with_the_promised_keys() -> None:
    size = {"resolution": "0.05", "occupied": "10", "free": "20", "bytes": "3000"}
    mapper = {**DIAGNOSTICS, **size, "provider": "octomap"}
    outcome = DemoOutcome(
        nodes={
            "detector": NodeOutcome.from_diagnostics("detector", DIAGNOSTICS),
            "mapper": NodeOutcome.from_diagnostics("mapper", mapper),
        },
        topics={"/b": 2, "/a": 1},
        sent={"/image": 14, "/depth": 13},
        main_input={"detector": "/image", "mapper": "/depth"},
        faults=(),
    )
    assert (outcome.sent_to("detector"), outcome.sent_to("mapper")) == (14, 13)
    summary = json.loads(json.dumps(outcome.summary()))
    assert summary["nodes"]["detector"] == {
        "received": 12,
        "processed": 9,
        "dropped": {"superseded": 2, "unknown_encoding": 1},
        "latency_ms": {"p50": 4.5, "p95": 9.25, "p99": 12.0},
        "provider": "CPUExecutionProvider",
    }
    assert summary["nodes"]["mapper"]["provider"] == "octomap"
    cores = [node.core for node in outcome.nodes.values()]
    assert cores == ["rooms_ssdlite on CPUExecutionProvider", "the mapping engine octomap"]
    assert list(summary["topics"]) == ["/a", "/b"]
    assert summary["map"] == {"resolution": 0.05, "occupied": 10, "free": 20, "bytes": 3000}
