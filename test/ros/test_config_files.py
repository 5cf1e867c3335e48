"""config/*.yaml: they are the parameters that the nodes declare, with the nodes' own defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from cnn_perception.components.detector import DetectorComponent
from cnn_perception.components.explainer import ExplainerComponent
from cnn_perception.components.mapper import MapperComponent
from cnn_perception.components.segmenter import SegmenterComponent

CONFIG = Path(__file__).resolve().parents[2] / "config"
NODES = {
    "detector": DetectorComponent,
    "segmenter": SegmenterComponent,
    "explainer": ExplainerComponent,
    "mapper": MapperComponent,
}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested YAML keys as ROS parameter names."""
    names: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            names |= flat(value, f"{prefix}{key}.")
        else:
            names[f"{prefix}{key}"] = value
    return names


def written(name: str) -> dict[str, Any]:
    content = yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8"))
    assert list(content) == [f"/**/{name}"]
    return flat(content[f"/**/{name}"]["ros__parameters"])


def own_parameters(node: Any) -> dict[str, Any]:
    """Return the parameters that the node itself declares, without those of rclpy."""
    foreign = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*")
    # rclpy has no public listing of what a node has declared.
    return {name: p.value for name, p in node._parameters.items() if not foreign.fullmatch(name)}


def test_there_is_a_file_for_every_node() -> None:
    assert {path.stem for path in CONFIG.glob("*.yaml")} == set(NODES)


@pytest.mark.parametrize("name", NODES)
def test_file_says_what_the_node_does_without_it(stage: Any, name: str) -> None:
    declared = own_parameters(stage.node(NODES[name], name))
    assert written(name) == declared
    assert {key: type(value) for key, value in written(name).items()} == {
        key: type(value) for key, value in declared.items()
    }


@pytest.mark.parametrize("name", NODES)
def test_node_reads_the_file_in_any_namespace(stage: Any, tmp_path: Path, name: str) -> None:
    changed = tmp_path / "params.yaml"
    text = (CONFIG / f"{name}.yaml").read_text(encoding="utf-8")
    changed.write_text(text.replace("autostart: true", "autostart: false"), encoding="utf-8")
    node = stage.node(NODES[name], name, "--params-file", str(changed))
    assert own_parameters(node) == {**written(name), "autostart": False}
