"""docs/nodes.md states the parameters, topics and drop reasons that the nodes really have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from cnn_perception.components.detector import DetectorComponent
from cnn_perception.components.explainer import ExplainerComponent
from cnn_perception.components.mapper import MapperComponent
from cnn_perception.components.segmenter import SegmenterComponent
from cnn_perception.messages import DROP_REASONS
from cnn_perception.parameters import NodeConfig
from cnn_perception.settings import settings

NODES = {
    "detector": DetectorComponent,
    "segmenter": SegmenterComponent,
    "explainer": ExplainerComponent,
    "mapper": MapperComponent,
}
COMMON = {known.name: known for known in settings(NodeConfig)}


@pytest.fixture
def sections(repository: Path) -> dict[str, str]:
    """The chapters of the page by their titles."""
    text = (repository / "docs" / "nodes.md").read_text(encoding="utf-8")
    chapters = (chapter.split("\n", 1) for chapter in text.split("\n## ")[1:])
    return {title.strip(): body for title, body in chapters}


def parameters(body: str) -> dict[str, str]:
    """Return name and default of each row of a parameter table."""
    table = body.split("| parameter |")[1].split("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    return {name.strip(" `"): default.strip(" `") for name, default in rows}


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("name", NODES)
def test_parameters_and_defaults_are_those_of_the_node(name: str, sections) -> None:
    node = NODES[name]
    declared = {
        name: shown(known.default)
        for name, known in node.parameters.settings().items()
        if name not in COMMON
    }
    assert parameters(sections[name]) == declared


def test_common_parameters_are_those_of_every_node(sections) -> None:
    declared = {known.name: shown(known.default) for known in COMMON.values()}
    assert parameters(sections["What every node has"]) == declared


def test_every_drop_reason_is_explained(sections) -> None:
    body = sections["Why messages are dropped"]
    assert {line.split("`")[1] for line in body.splitlines() if line.startswith("| `")} == set(
        DROP_REASONS
    )
