"""A bag through the real nodes, on the bag's own time.

    ros2 launch cnn_perception replay.launch.py bag:=kitchen.mcap image:=/camera/color/image_raw \
        depth:=/camera/aligned_depth_to_color/image_raw rviz:=true

It takes every argument of perception.launch.py; use_sim_time is set. Playing begins when the nodes
listen. They stay up afterwards, so that the map can be looked at, unless shutdown_at_end:=true.

With await:="/detector/detections /segmenter/mask" these nodes drop no frame on a slow machine: the
next image goes out when these outputs of the last one have come.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.substitutions import ExecutableInPackage
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

PACKAGE = "cnn_perception"
LAUNCH = Path(get_package_share_directory(PACKAGE), "launch")

ARGUMENTS = (
    DeclareLaunchArgument("bag", description="rosbag2 folder, .mcap or .db3 file."),
    DeclareLaunchArgument("rate", default_value="1.0", description="Recorded seconds per second."),
    DeclareLaunchArgument(
        "loop", default_value="1", description="How often to play it; 0 plays without end."
    ),
    DeclareLaunchArgument(
        "start_offset", default_value="0.0", description="Seconds of the beginning to skip."
    ),
    DeclareLaunchArgument(
        "duration", default_value="", description="Recorded seconds to play; empty: to the end."
    ),
    DeclareLaunchArgument(
        "await",
        default_value="",
        description="Outputs to wait for after each image, /output or /output=/its/recorded/image; "
        "empty: play on schedule.",
    ),
    DeclareLaunchArgument(
        "topics",
        default_value="",
        description="Recorded topics to play; empty: those that the nodes listen to.",
    ),
    DeclareLaunchArgument(
        "wait_for_subscribers",
        # The first mapper on a machine compiles its kernels, for up to a minute.
        default_value="120.0",
        description="Most seconds to wait until each of these topics has a subscriber.",
    ),
    DeclareLaunchArgument(
        "shutdown_at_end",
        default_value="false",
        choices=["true", "false"],
        description="End everything when the bag has been played, with exit code 1 where the "
        "player failed or an awaited output did not come.",
    ),
)


def recorded_topics(value: dict[str, str]) -> list[str]:
    """Return the topics to play: those that were asked for, else what the nodes will listen to."""
    if value["topics"]:
        return value["topics"].replace(",", " ").split()
    compressed = value["image_transport"] == "compressed"
    topics = [f"{value['image']}/compressed" if compressed else value["image"]]
    if depth := value["depth"]:
        # The included description has given camera_info its default.
        topics += [f"{depth}/compressedDepth" if compressed else depth, value["camera_info"]]
    if value["cloud"]:
        topics.append(value["cloud"])
    if value["depth"] or value["cloud"]:
        topics += ["/tf", "/tf_static"]
    namespace = make_namespace_absolute(value["namespace"]) or "/"
    return [prefix_namespace(namespace, topic) for topic in topics]


def pace(value: dict[str, str]) -> list[str]:
    """Return the player's options for a schedule, or for lockstep where outputs are awaited."""
    outputs = value["await"].replace(",", " ").split()
    # In lockstep the player itself says that a rate has no meaning.
    rate = ["--rate", value["rate"]] if not outputs or value["rate"] != "1.0" else []
    lockstep = ["--lockstep"] if outputs else []
    return [*rate, *lockstep, *(part for output in outputs for part in ("--await", output))]


def player(context: LaunchContext) -> list[ExecuteProcess | RegisterEventHandler]:
    """Return the process that plays the bag, and what happens when it has ended."""
    value = context.launch_configurations
    process = ExecuteProcess(
        cmd=[
            ExecutableInPackage(package=PACKAGE, executable="cnn-perception"),
            *("play", value["bag"], "--clock", "--loop", value["loop"]),
            *("--start-offset", value["start_offset"]),
            *(("--duration", value["duration"]) if value["duration"] else ()),
            *("--wait-for-subscribers", value["wait_for_subscribers"]),
            *pace(value),
            *(part for topic in recorded_topics(value) for part in ("--topics", topic)),
        ],
        name="player",
        output="screen",
    )
    if value["shutdown_at_end"] == "false":
        return [process]
    return [
        RegisterEventHandler(OnProcessExit(target_action=process, on_exit=shutdown)),
        process,
    ]


def shutdown(event: ProcessExited, context: LaunchContext) -> list[TimerAction]:
    """End everything after the player; raises RuntimeError where it failed."""
    if event.returncode and not context.is_shutdown:
        # Only an exception ends launch with an exit code other than 0.
        raise RuntimeError(f"the player ended with exit code {event.returncode}, see its output")
    # The last frames are still in work when the player has sent them.
    end = Shutdown(reason="the bag has been played")
    return [TimerAction(period=2.0, actions=[end])]


def generate_launch_description() -> LaunchDescription:
    """Include perception.launch.py on simulated time, and play to it."""
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH / "perception.launch.py")),
        launch_arguments={"use_sim_time": "true"}.items(),
    )
    return LaunchDescription([*ARGUMENTS, perception, OpaqueFunction(function=player)])
