"""The networks in the repository: small, complete, and nothing in them but the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.runtime.inference import Session

MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("name", "figure", "floor"), [("rooms_ssdlite", "map_50", 0.6), ("rooms_fcn", "miou", 0.6)]
)
def test_a_shipped_bundle_runs_and_states_what_it_is_worth(
    name: str, figure: str, floor: float, repository: Path
) -> None:
    bundle = load_bundle(repository / "models" / name)
    assert Session(bundle).provider
    assert bundle.licence == "Apache-2.0"
    assert bundle.quality["images"] >= 200
    assert bundle.quality[figure] >= floor


def test_shipped_networks_are_small_and_hold_no_trace_of_the_machine_that_wrote_them(
    repository: Path,
) -> None:
    files = sorted((repository / "models").rglob("*.onnx"))
    assert len(files) >= 7
    for file in files:
        content = file.read_bytes()
        assert len(content) <= 4 * MEGABYTE, file
        for trace in (b'File "', b"site-packages", b"/home/", b".py"):
            assert trace not in content, file
