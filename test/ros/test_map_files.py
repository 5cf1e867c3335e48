"""Maps on disk: saved, loaded, continued after a restart, and cleared in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from geometry_msgs.msg import Point
from octomap_msgs.msg import Octomap
from octomap_msgs.srv import BoundingBoxQuery, GetOctomap
from std_srvs.srv import Empty, Trigger

from cnn_perception.mapping.files.octomap_codec import decode_full
from cnn_perception.mapping.files.storage import load_map
from cnn_perception.ros.qos import LATCHED
from mapping_robot import Lidar, Robot, change, mapper

WALL = [(2.05, 0.1 * i + 0.05, 0.1 * k + 0.05) for i in range(6) for k in range(6)]


def octomap(stage: Any, name: str = "octomap_full") -> Octomap:
    return stage.call(GetOctomap, name, GetOctomap.Request()).map


def trigger(stage: Any, service: str) -> Any:
    return stage.call(Trigger, f"mapper/{service}", Trigger.Request())


def mapped(stage: Any, **parameters: Any) -> tuple[Any, Lidar]:
    node = mapper(stage, source="cloud", **parameters)
    lidar = Lidar(stage, node)
    lidar.see(1.0, WALL)
    return node, lidar


@pytest.mark.parametrize("suffix", ["bt", "ot", "vox"])
def test_a_map_is_the_same_after_save_reset_and_load(stage, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"room.{suffix}"
    mapped(stage, save_path=str(path))
    topic = "octomap_binary" if suffix == "bt" else "octomap_full"
    before = octomap(stage, topic)
    saved = trigger(stage, "save")
    assert (saved.success, saved.message) == (True, f"saved to {path}")
    stage.call(Empty, "mapper/reset", Empty.Request())
    assert len(octomap(stage).data) == 0
    heard = stage.hear(Octomap, topic, LATCHED)
    loaded = trigger(stage, "load")
    assert (loaded.success, loaded.message) == (True, f"loaded {path}")
    assert octomap(stage, topic).data == before.data
    stage.until(lambda: heard and heard[-1].data == before.data)


def test_a_file_of_its_own_can_be_loaded(stage, tmp_path: Path) -> None:
    node, lidar = mapped(stage, save_path=str(tmp_path / "one.ot"))
    assert trigger(stage, "save").success
    lidar.see(2.0, WALL)
    change(node, save_path=str(tmp_path / "two.ot"), load_path=str(tmp_path / "one.ot"))
    assert trigger(stage, "save").success
    values = decode_full(bytes(octomap(stage).data)).log_odds
    assert trigger(stage, "load").success
    assert decode_full(bytes(octomap(stage).data)).log_odds.max() < values.max()


def test_what_cannot_be_loaded_leaves_the_map_as_it_is(stage, tmp_path: Path) -> None:
    node, _ = mapped(stage, load_path=str(tmp_path / "none.bt"))
    before = octomap(stage)
    missing = trigger(stage, "load")
    assert not missing.success
    assert "none.bt: No such file" in missing.message
    (tmp_path / "broken.bt").write_bytes(b"not a map")
    change(node, load_path=str(tmp_path / "broken.bt"))
    broken = trigger(stage, "load")
    assert not broken.success
    assert "the map stays as it is: cannot read the map" in broken.message
    assert octomap(stage).data == before.data


def test_a_restarted_node_continues_its_map(stage, tmp_path: Path) -> None:
    path = tmp_path / "room.ot"
    node, _ = mapped(stage, save_path=str(path))
    assert trigger(stage, "save").success
    before = octomap(stage)
    node.trigger_deactivate()
    node.trigger_cleanup()
    stage.executor.remove_node(node)
    node.destroy_node()
    stage._nodes.remove(node)

    again = mapper(stage, source="cloud", octomap_path=str(path))
    heard = stage.hear(Octomap, "octomap_full", LATCHED)
    stage.until(lambda: heard)  # before anything new is mapped
    assert heard[0].data == before.data
    assert octomap(stage).data == before.data
    Lidar(stage, again).see(2.0, WALL)
    assert decode_full(bytes(octomap(stage).data)).log_odds.max() == pytest.approx(
        2 * np.log(0.7 / 0.3), abs=1e-5
    )


def test_a_continued_map_keeps_its_resolution(stage, tmp_path: Path) -> None:
    path = tmp_path / "coarse.bt"
    node, _ = mapped(stage, save_path=str(path), resolution=0.2)
    assert trigger(stage, "save").success
    node.trigger_deactivate()
    other = mapper(stage, source="cloud", octomap_path=str(path), resolution=0.05)
    assert other.component.occupancy.config.resolution == pytest.approx(0.2)
    change(other, occupancy_max_z=5.0)
    assert other.component.occupancy.config.occupancy_max_z == 5.0


def test_a_map_that_cannot_be_continued_leaves_the_node_unconfigured(
    stage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cnn_perception.components.mapper import MapperComponent

    node = stage.node(MapperComponent, "mapper", octomap_path=str(tmp_path / "none.bt"))
    assert not node.start()
    assert "none.bt: No such file" in capfd.readouterr().err


def test_a_map_is_saved_by_itself_while_mapping_and_at_the_end(stage, tmp_path: Path) -> None:
    path = tmp_path / "auto.ot"
    node, lidar = mapped(stage, save_path=str(path), autosave_period=0.05)
    stage.until(path.exists)
    lidar.see(2.0, WALL)
    expected = bytes(np.array(octomap(stage).data, np.int8))
    path.unlink()
    node.trigger_deactivate()
    assert path.read_bytes().endswith(expected)


@pytest.mark.parametrize("clear_to", ["free", "unknown"])
def test_a_cleared_box_becomes_free_or_unknown(stage, tmp_path: Path, clear_to: str) -> None:
    node, _ = mapped(stage)
    change(node, clear_to=clear_to)
    before = decode_full(bytes(octomap(stage).data)).finest()
    request = BoundingBoxQuery.Request(
        min=Point(x=2.01, y=0.01, z=0.01), max=Point(x=2.09, y=0.25, z=0.25)
    )
    stage.call(BoundingBoxQuery, "mapper/clear_bbox", request)
    after = decode_full(bytes(octomap(stage).data)).finest()
    assert np.count_nonzero(before.occupied) == 36
    assert np.count_nonzero(after.occupied) == 27
    assert len(before) - len(after) == (9 if clear_to == "unknown" else 0)
    if clear_to == "free":
        cleared = after.log_odds[after.log_odds < before.log_odds.min()]
        assert cleared == pytest.approx(np.log(0.12 / 0.88))


def test_the_saved_file_is_what_other_tools_read(stage, tmp_path: Path) -> None:
    node = mapper(stage, save_path=str(tmp_path / "seen.bt"))
    robot = Robot(stage, node)
    robot.stand()
    robot.see(1.0)
    assert trigger(stage, "save").success
    read = load_map(tmp_path / "seen.bt")
    assert read.resolution == pytest.approx(0.1)
    assert np.count_nonzero(read.leaves.occupied) > 10


def test_no_callback_ends_the_executor(stage, tmp_path: Path) -> None:
    """Whatever a service runs into is an answer and a line in the log; the node goes on."""
    node = mapper(stage, save_path="~nosuchrobot/map.bt")
    for name in ("mapper/save", "mapper/load"):
        answer = stage.call(Trigger, name, Trigger.Request())
        assert not answer.success
        assert "nosuchrobot" in answer.message or "home" in answer.message
    classes, node.component.classes = node.component.classes, object()  # a defect of ours
    everything = BoundingBoxQuery.Request()
    stage.call(BoundingBoxQuery, "mapper/clear_bbox", everything)
    node.component.classes = classes
    change(node, save_path=str(tmp_path / "map.bt"))
    assert stage.call(Trigger, "mapper/save", Trigger.Request()).success
