"""Services whose answer is still due when the node stops working: late or never, but no crash."""

from __future__ import annotations

import threading
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from octomap_msgs.srv import GetOctomap

from cnn_perception.components.mapper import MapperComponent


@pytest.fixture
def busy(stage: Any) -> tuple[Any, Any]:
    """A mapper whose worker is busy until it is stopped, and the answer that is due then."""
    node = stage.running(MapperComponent, "mapper")
    never = threading.Event()

    def work() -> None:
        while not node.worker._stopping:
            never.wait(0.01)

    node.worker.call(work)
    client = stage.probe.create_client(GetOctomap, "octomap_full")
    stage.until(client.service_is_ready)
    due = client.call_async(GetOctomap.Request())
    # The executor came to the first question when it answers a later one.
    stage.probe.create_service(GetOctomap, "probe", lambda _, response: response)
    stage.call(GetOctomap, "probe", GetOctomap.Request())
    assert not due.done()
    return node, due


def test_a_service_answers_although_the_node_was_deactivated(stage: Any, busy: Any) -> None:
    node, due = busy
    node.trigger_deactivate()
    stage.until(due.done)
    assert due.result().map.id == "OcTree"


def test_a_node_is_cleaned_up_although_an_answer_is_due(stage: Any, busy: Any) -> None:
    node, _ = busy
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.start()
    assert stage.call(GetOctomap, "octomap_full", GetOctomap.Request()).map.id == "OcTree"
