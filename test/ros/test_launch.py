"""The launch files, run for real: processes start, topics and parameters reach the nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")
# Not imported here: launch replaces the logger class of the whole process.
if find_spec("launch_ros") is None:
    pytest.skip("no launch_ros: PyPI has none, it comes with apt's ROS 2", allow_module_level=True)

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.srv import GetState
from octomap_msgs.msg import Octomap
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray

from cnn_perception.recording.bag import BagWriter, typestore
from cnn_perception.ros.encode import encode
from cnn_perception.ros.qos import LATCHED, TRANSFORM_STATIC

pytestmark = pytest.mark.usefixtures("compiled_kernels")

try:
    LAUNCH = Path(get_package_share_directory("cnn_perception"), "launch")
except PackageNotFoundError:
    pytest.skip(
        "cnn_perception is not installed: colcon build, then source install/setup.bash",
        allow_module_level=True,
    )

# What `ros2 launch FILE name:=value ...` does, without ros2cli.
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

path, *arguments = sys.argv[1:]
pairs = [argument.split(":=", 1) for argument in arguments]
service = LaunchService()
source = AnyLaunchDescriptionSource(path)
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=pairs)])
)
sys.exit(service.run())
"""
PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"
# /tf is one for the whole machine: the frame must be ours alone.
HEADER = Header(stamp=Time(sec=5), frame_id=f"camera_{os.getpid()}")
PICTURE = encode.image(HEADER, models.paint({(1, 1): "red"}, width=160, height=120))
DEPTH = encode.image(HEADER, np.full((120, 160), 2.0, np.float32))


class Launched:
    """A running launch file."""

    def __init__(self, file: str, arguments: dict[str, str], log: Path) -> None:
        environment = {
            key: value for key, value in os.environ.items() if "PROFILES_FILE" not in key
        }
        command = [sys.executable, "-c", RUN, str(LAUNCH / file)]
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [*command, *(f"{name}:={value}" for name, value in arguments.items())],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What was printed so far."""
        return self._log.read_text()

    def children(self) -> list[Path]:
        """Return the /proc folders of the processes that it started."""
        pid = self._process.pid
        numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [Path("/proc", number) for number in numbers]

    def ended(self) -> bool:
        """True when the process has ended by itself."""
        return self._process.poll() is not None

    def stop(self) -> int:
        """End it as Ctrl-C does and return its exit code."""
        if not self.ended():
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout=30)
        finally:
            self._process.kill()


@pytest.fixture
def launch(stage: Any, tmp_path: Path) -> Any:
    """Run a launch file in the stage's namespace; afterwards it must end cleanly."""

    @contextmanager
    def run(file: str, **arguments: str) -> Iterator[Launched]:
        arguments = {"namespace": stage.namespace, **arguments}
        launched = Launched(file, arguments, tmp_path / "launch.log")
        try:
            yield launched
        finally:
            code = launched.stop()
            print(launched.output)
        assert code == 0
        assert "Traceback" not in launched.output

    return run


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Model arguments with networks whose answers are known."""
    folder = tmp_path_factory.mktemp("models")
    detector = models.write_detector_bundle(folder / "detector")
    segmenter = models.write_segmenter_bundle(folder / "segmenter")
    return {"detector_model": str(detector), "segmenter_model": str(segmenter)}


def parameters(stage: Any, node: str, *names: str) -> list[Any]:
    """Ask a node for its parameters."""
    from rclpy.parameter import parameter_value_to_python

    answer = stage.call(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=names))
    return [parameter_value_to_python(value) for value in answer.values]


def state(stage: Any, node: str) -> str:
    return stage.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label


def camera_info() -> CameraInfo:
    info = CameraInfo(header=HEADER, width=160, height=120)
    info.k = [150.0, 0.0, 80.0, 0.0, 150.0, 60.0, 0.0, 0.0, 1.0]
    return info


def repeat_until(stage: Any, send: Callable[[], None], done: Callable[[], Any]) -> None:
    """Send again and again: between processes one side may see the other later."""

    def answered() -> bool:
        send()
        return bool(done())

    stage.until(answered)


def test_every_node_gets_its_topics_and_models(stage: Any, launch: Any, bundles: Any) -> None:
    detections = stage.hear(Detection2DArray, "detector/detections")
    boxes = stage.hear(Detection3DArray, "detector/detections_3d")
    masks = stage.hear(Image, "segmenter/mask")
    heatmaps = stage.hear(Image, "explainer/heatmap")
    maps = stage.hear(Octomap, "octomap_binary", LATCHED)
    color = stage.probe.create_publisher(Image, "camera/color", 10)
    depth = stage.probe.create_publisher(Image, "camera/depth/image", 10)
    info = stage.probe.create_publisher(CameraInfo, "camera/depth/camera_info", 10)
    pose = TransformStamped(header=Header(frame_id="map"), child_frame_id=HEADER.frame_id)
    tf = stage.probe.create_publisher(TFMessage, "/tf_static", TRANSFORM_STATIC)
    tf.publish(TFMessage(transforms=[pose]))

    with launch(
        "perception.launch.py", image="camera/color", depth="camera/depth/image", **bundles
    ) as launched:

        def send() -> None:
            info.publish(camera_info())
            depth.publish(DEPTH)
            color.publish(PICTURE)

        repeat_until(stage, send, lambda: detections and boxes and masks and heatmaps and maps)
        assert len(launched.children()) == 4
        for process in launched.children():
            environment = (process / "environ").read_text().split("\0")
            assert any(
                line.startswith(PROFILE) and line.endswith("config/fastdds_large_images.xml")
                for line in environment
            )
        assert parameters(stage, "explainer", "model") == [bundles["detector_model"]]

    assert detections[0].header == masks[0].header == heatmaps[0].header == HEADER
    assert [d.results[0].hypothesis.class_id for d in detections[0].detections] == ["red"]
    assert maps[0].header.frame_id == "map"


@pytest.mark.parametrize("single_process", ["false", "true"])
def test_cells_get_the_classes_of_the_segmenter_on_request(
    stage: Any, launch: Any, bundles: Any, single_process: str
) -> None:
    with launch(
        "perception.launch.py",
        nodes="segmenter,mapper",
        depth="camera/depth/image",
        semantics="true",
        single_process=single_process,
        **bundles,
    ):
        stage.until(lambda: stage.probe.count_subscribers("segmenter/mask"))
        stage.until(lambda: stage.probe.count_subscribers("segmenter/label_info"))
        stage.until(lambda: stage.probe.count_publishers("segmenter/mask"))
        known = parameters(stage, "mapper", "semantics.enabled", "semantics.palette")
        assert known == [True, bundles["segmenter_model"]]


def test_one_process_leaves_the_others_unconfigured(
    stage: Any, launch: Any, bundles: Any, tmp_path: Path
) -> None:
    params = tmp_path / "mine.yaml"
    params.write_text(
        "/**/detector: {ros__parameters: {max_detections: 7, use_depth: true}}\n"
        "/**/mapper: {ros__parameters: {use_height_map: false}}\n"
    )
    with launch(
        "perception.launch.py",
        single_process="true",
        nodes="detector",
        params_file=str(params),
        **bundles,
    ) as launched:
        stage.until(lambda: state(stage, "detector") == "active")
        assert len(launched.children()) == 1
        assert state(stage, "segmenter") == state(stage, "mapper") == "unconfigured"
        # The user's file beats the package's; what the arguments say beats both.
        known = parameters(stage, "detector", "max_detections", "use_depth", "model")
        assert known == [7, False, bundles["detector_model"]]
        assert parameters(stage, "mapper", "use_height_map") == [False]


def test_mapping_maps_clouds(stage: Any, launch: Any) -> None:
    with launch(
        "mapping.launch.py", cloud="points", resolution="0.1", map_frame="odom"
    ) as launched:
        stage.until(lambda: state(stage, "mapper") == "active")
        assert len(launched.children()) == 1
        known = parameters(stage, "mapper", "source", "resolution", "frame_id", "use_sim_time")
        assert known == ["cloud", 0.1, "odom", False]
        assert parameters(stage, "mapper", "use_height_map") == [True]
        assert stage.probe.count_subscribers("points") == 1


def test_mapping_passes_on_what_the_mapper_can_do(stage: Any, launch: Any, tmp_path: Path) -> None:
    arguments = {
        "cameras": ("cameras", "front,rear", ["front", "rear"]),
        "max_range": ("sensor_model.max_range", "5", 5.0),
        "save_path": ("save_path", str(tmp_path / "map.ot"), str(tmp_path / "map.ot")),
        "autosave_period": ("autosave_period", "60", 60.0),
        "base_frame": ("base_frame_id", "base_link", "base_link"),
        "ground_filter": ("filter_ground_plane", "true", True),
        "decay_after": ("decay.after", "30", 30.0),
        "local_window": ("local_window", "20", 20.0),
        "free_space": ("publish_free_space", "true", True),
        "height_colors": ("use_height_map", "false", False),
        "semantics": ("semantics.enabled", "true", True),
    }
    given = {name: text for name, (_, text, _) in arguments.items()}
    with launch("mapping.launch.py", **given):
        stage.until(lambda: state(stage, "mapper") == "active")
        known = parameters(stage, "mapper", *(parameter for parameter, _, _ in arguments.values()))
        assert known == [value for _, _, value in arguments.values()]
        assert stage.probe.count_subscribers("rear/depth/image") == 1


def test_unknown_node_is_refused(tmp_path: Path) -> None:
    launched = Launched("perception.launch.py", {"nodes": "detektor"}, tmp_path / "launch.log")
    assert launched._process.wait(timeout=60) == 1
    assert "detektor is none of detector, segmenter, explainer, mapper" in launched.output


def write_pictures(path: Path, topic: str, seconds: Iterable[int]) -> Path:
    """Write a bag with the picture at each of these seconds."""
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"]
    with BagWriter(path) as writer:
        for second in seconds:
            header = types["std_msgs/msg/Header"](stamp(second, 0), "camera")
            image = types["sensor_msgs/msg/Image"](
                header, 120, 160, "rgb8", 0, 480, np.frombuffer(PICTURE.data, np.uint8)
            )
            writer.write(topic, "sensor_msgs/msg/Image", image, second * 10**9)
    return path


def test_replay_plays_a_bag_on_its_own_time(
    stage: Any, launch: Any, bundles: Any, tmp_path: Path
) -> None:
    # Long enough for this process to discover the detector, which may take it some seconds.
    seconds = range(1, 41)
    bag = write_pictures(tmp_path / "bag", f"{stage.namespace}/camera/color", seconds)
    detections = stage.hear(Detection2DArray, "detector/detections")
    with launch(
        "replay.launch.py",
        bag=str(bag),
        image="camera/color",
        nodes="detector",
        rate="4.0",
        shutdown_at_end="true",
        **bundles,
    ) as launched:
        stage.until(lambda: detections)
        assert parameters(stage, "detector", "use_sim_time") == [True]
        stage.until(launched.ended)
    heard = [message.header.stamp.sec for message in detections]
    assert heard == sorted(set(heard))
    assert set(heard) <= set(seconds)


def test_replay_in_lockstep_loses_no_frame(
    stage: Any, launch: Any, bundles: Any, tmp_path: Path
) -> None:
    bag = write_pictures(tmp_path / "bag", f"{stage.namespace}/camera/color", range(1, 11))
    output = f"{stage.namespace}/detector/detections"
    arguments = {
        "bag": str(bag),
        "image": "camera/color",
        "nodes": "detector",
        "await": output,
        "duration": "7.5",
        "loop": "2",
        "shutdown_at_end": "true",
        **bundles,
    }
    with launch("replay.launch.py", **arguments) as launched:
        stage.until(launched.ended)
    assert f"16  {output} came, by loop 8 8" in launched.output


def test_replay_that_fails_ends_with_exit_code_1(bundles: Any, tmp_path: Path) -> None:
    arguments = {
        "bag": str(tmp_path / "none"),
        "image": "/camera/color",
        "nodes": "detector",
        "namespace": f"/failing_{os.getpid()}",
        "shutdown_at_end": "true",
        **bundles,
    }
    launched = Launched("replay.launch.py", arguments, tmp_path / "launch.log")
    assert launched._process.wait(timeout=60) == 1
    assert f"no bag at {tmp_path / 'none'}" in launched.output
    assert "the player ended with exit code 1" in launched.output
    assert "Traceback" not in launched.output
