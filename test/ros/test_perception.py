"""All four nodes in one process, as a robot starts them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import models

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from geometry_msgs.msg import TransformStamped
from octomap_msgs.msg import Octomap
from octomap_msgs.srv import GetOctomap
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray

from cnn_perception.ros.encode import encode
from cnn_perception.ros.qos import LATCHED, TRANSFORM_STATIC

pytestmark = pytest.mark.usefixtures("compiled_kernels")


def test_one_process_sees_segments_explains_and_maps(stage, tmp_path: Path) -> None:
    detector = models.write_detector_bundle(tmp_path / "detector")
    segmenter = models.write_segmenter_bundle(tmp_path / "segmenter")
    settings = {
        "detector": {"model": str(detector)},
        "segmenter": {"model": str(segmenter)},
        "explainer": {"model": str(detector)},
        "mapper": {"publish_rate": 20.0},
    }
    params = tmp_path / "params.yaml"
    params.write_text(
        yaml.safe_dump({f"/**/{node}": {"ros__parameters": s} for node, s in settings.items()})
    )
    remaps = {
        "__ns": stage.namespace,
        "/tf": f"{stage.namespace}/tf",
        "/tf_static": f"{stage.namespace}/tf_static",
    }
    arguments = [part for key, value in remaps.items() for part in ("-r", f"{key}:={value}")]
    arguments += ["--params-file", str(params)]
    process = subprocess.Popen(
        [sys.executable, "-m", "cnn_perception.ros.run", "perception", "--ros-args", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    header = Header(frame_id="camera")
    header.stamp.sec = 5
    try:
        detections = stage.hear(Detection2DArray, "detector/detections")
        masks = stage.hear(Image, "segmenter/mask")
        heatmaps = stage.hear(Image, "explainer/heatmap")
        maps = stage.hear(Octomap, "octomap_binary", LATCHED)
        camera = stage.probe.create_publisher(Image, "image", 10)
        depth = stage.probe.create_publisher(Image, "depth/image", 10)
        # The three image nodes share a subscription; the mapper must be listening, too.
        stage.until(camera.get_subscription_count)
        stage.until(depth.get_subscription_count)
        info = CameraInfo(header=header, width=64, height=48)
        info.k = [60.0, 0.0, 32.0, 0.0, 60.0, 24.0, 0.0, 0.0, 1.0]
        pose = TransformStamped(header=Header(frame_id="map"), child_frame_id="camera")
        stage.speak(TFMessage, "tf_static", TRANSFORM_STATIC).publish(TFMessage(transforms=[pose]))
        camera_info = stage.speak(CameraInfo, "depth/camera_info")
        small = models.paint({(1, 1): "red"}, width=160, height=120)
        distances = encode.image(header, np.full((48, 64), 2.0, np.float32))

        def answered() -> bool:
            # Discovery between processes is not symmetric: the camera repeats its only picture.
            camera_info.publish(info)
            camera.publish(encode.image(header, small))
            depth.publish(distances)
            return bool(detections and masks and heatmaps and maps)

        stage.until(answered)
        served = stage.call(GetOctomap, "octomap_binary", GetOctomap.Request()).map
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert detections[0].header == masks[0].header == heatmaps[0].header == header
    assert [d.results[0].hypothesis.class_id for d in detections[0].detections] == ["red"]
    assert maps[0].header.frame_id == served.header.frame_id == "map"
    assert len(served.data) > 50
