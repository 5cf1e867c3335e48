"""Detector, segmenter, explainer and mapper on one camera, each of them optional.

    ros2 launch cnn_perception perception.launch.py image:=/camera/color/image_raw \
        depth:=/camera/aligned_depth_to_color/image_raw rviz:=true

``ros2 launch cnn_perception perception.launch.py --show-args`` lists the arguments.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

PACKAGE = "cnn_perception"
NODES = ("detector", "segmenter", "explainer", "mapper")
BOOLEANS = ("true", "false")
DEPTH = LaunchConfiguration("depth")

Parameter = bool | float | str | list[str]


def on_or_off(text: str) -> bool:
    """Read true or false; raises ValueError for anything else."""
    if text not in BOOLEANS:
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"


def listed(text: str) -> list[str]:
    """Read names with commas between them."""
    return [name.strip() for name in text.split(",")]


# The mapper's parameters that are arguments: parameter, how it is read, description.
MAP_ARGUMENTS: dict[str, tuple[str, Callable[[str], Parameter], str]] = {
    "map_frame": ("frame_id", str, "Fixed frame of the map"),
    "resolution": ("resolution", float, "Smallest cell of the map, metres"),
    "max_range": (
        "sensor_model.max_range",
        float,
        "Range beyond which readings only clear space, metres; about 5.0 for depth cameras",
    ),
    "cameras": ("cameras", listed, "Prefixes of several cameras or lidars, such as front,rear"),
    "octomap_path": ("octomap_path", str, "Map file that is continued"),
    "save_path": ("save_path", str, "Map file that ~/save writes"),
    "autosave_period": ("autosave_period", float, "Seconds between saves to save_path"),
    "base_frame": ("base_frame_id", str, "Frame in which the ground is looked for"),
    "ground_filter": ("filter_ground_plane", on_or_off, "Keep the ground out of the map"),
    "decay_after": ("decay.after", float, "Seconds after which unseen obstacles fade"),
    "local_window": ("local_window", float, "Edge of the cube that is kept, metres"),
    "free_space": ("publish_free_space", on_or_off, "Publish free cells as markers"),
    "semantics": (
        "semantics.enabled",
        on_or_off,
        "Give occupied cells the classes of the segmenter's masks, for some 3 ms per image",
    ),
    "height_colors": (
        "use_height_map",
        on_or_off,
        "Color cells by height, true where params do not say",
    ),
}
# Where these files differ from the nodes' own defaults: octomap_server's cells are plain blue, in
# which RViz shows little of a room. A params_file beats them.
LAUNCH_DEFAULTS: dict[str, dict[str, Parameter]] = {"mapper": {"use_height_map": True}}
ARGUMENTS = (
    DeclareLaunchArgument("image", default_value="image", description="Topic of color images."),
    DeclareLaunchArgument(
        "depth",
        default_value="",
        description="Topic of depth images, registered to the color images; empty: none.",
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value=PythonExpression(
            ["'", DEPTH, "'[:'", DEPTH, "'.rfind('/') + 1] + 'camera_info'"]
        ),
        description="Topic of the depth camera's calibration; by default beside the depth topic.",
    ),
    DeclareLaunchArgument(
        "cloud", default_value="", description="Topic of point clouds to map instead of depth."
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="raw",
        choices=["raw", "compressed"],
        description="Subscribe to raw images, or to <topic>/compressed, <topic>/compressedDepth.",
    ),
    DeclareLaunchArgument(
        "nodes",
        default_value=" ".join(NODES),
        description="Which nodes to run. The mapper runs only where there is depth or a cloud.",
    ),
    DeclareLaunchArgument(
        "single_process",
        default_value="false",
        choices=BOOLEANS,
        description="Run the nodes in one process: less memory and no copies, but one GIL.",
    ),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of the nodes and their outputs."
    ),
    DeclareLaunchArgument(
        "detector_model",
        default_value="",
        description="Bundle of the detector; empty: as in params.",
    ),
    DeclareLaunchArgument(
        "segmenter_model",
        default_value="",
        description="Bundle of the segmenter; empty: as in params.",
    ),
    DeclareLaunchArgument(
        "explainer_model",
        default_value="",
        description="Bundle of the explainer; empty: the detector's, or as in params.",
    ),
    DeclareLaunchArgument(
        "boxes_3d",
        default_value="true",
        choices=BOOLEANS,
        description="Give detections 3D boxes where there is depth.",
    ),
    *(
        DeclareLaunchArgument(
            name, default_value="", description=f"{description}; empty: as in params."
        )
        for name, (_, _, description) in MAP_ARGUMENTS.items()
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="Parameter file that is read after the package's own and overrides them.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=BOOLEANS,
        description="Configure and activate the nodes; false leaves that to a lifecycle manager.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=BOOLEANS,
        description="Take the time from /clock.",
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=BOOLEANS, description="Show everything in RViz."
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Least severity that the nodes log.",
    ),
)


def large_image_profile() -> list[SetEnvironmentVariable]:
    """Let Fast DDS carry raw images between processes, unless the user has set it up already."""
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    if any(os.environ.get(name) for name in (*names, "FASTDDS_BUILTIN_TRANSPORTS")):
        return []
    # Fast DDS 3 renamed the variable; distributions up to jazzy have Fast DDS 2.
    has_fast_dds_2 = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    name = names[1] if has_fast_dds_2 else names[0]
    profile = Path(get_package_share_directory(PACKAGE), "config", "fastdds_large_images.xml")
    return [SetEnvironmentVariable(name, str(profile))]


def chosen_nodes(value: dict[str, str]) -> list[str]:
    """Return the nodes to run, in order; raises ValueError for a name that is none."""
    names = value["nodes"].replace(",", " ").split()
    unknown = sorted(set(names) - set(NODES))
    if unknown:
        raise ValueError(f"nodes:={value['nodes']}: {unknown[0]} is none of {', '.join(NODES)}")
    has_map_input = bool(value["depth"] or value["cloud"])
    return [name for name in NODES if name in names and (name != "mapper" or has_map_input)]


def segmenter_model(value: dict[str, str]) -> str:
    """Return the bundle that makes the masks; nothing where the user's file may say another."""
    if value["segmenter_model"] or value["params_file"]:
        return value["segmenter_model"]
    file = Path(get_package_share_directory(PACKAGE), "config", "segmenter.yaml")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return str(content["/**/segmenter"]["ros__parameters"]["model"])


def overrides(name: str, value: dict[str, str]) -> dict[str, Parameter]:
    """Return the parameters of a node that the arguments decide.

    A process with all nodes holds those that were not chosen too: they stay unconfigured.
    """
    parameters: dict[str, Parameter] = {
        "autostart": value["autostart"] == "true" and name in chosen_nodes(value),
        "image_transport": value["image_transport"],
        "use_sim_time": value["use_sim_time"] == "true",
    }
    model = value.get(f"{name}_model") or (value["detector_model"] if name == "explainer" else "")
    if model:
        parameters["model"] = model
    if name == "detector":
        parameters["use_depth"] = bool(value["depth"]) and value["boxes_3d"] == "true"
    if name == "mapper":
        parameters["source"] = "cloud" if value["cloud"] else "depth"
        if "segmenter" in chosen_nodes(value) and (palette := segmenter_model(value)):
            parameters["semantics.palette"] = palette  # cells in the colors of the masks
        for argument, (parameter, read, _) in MAP_ARGUMENTS.items():
            if value[argument]:
                parameters[parameter] = read(value[argument])
    return parameters


def remappings(value: dict[str, str]) -> list[tuple[str, str]]:
    """Return the topics of the camera by the names that the nodes use."""
    topics = [("image", value["image"])]
    if value["depth"]:
        topics.append(("depth/image", value["depth"]))
        topics.append(("depth/camera_info", value["camera_info"]))
    if value["cloud"]:
        topics.append(("cloud_in", value["cloud"]))
    if "segmenter" in chosen_nodes(value):
        topics += [("mask", "segmenter/mask"), ("label_info", "segmenter/label_info")]
    return [(inside, outside) for inside, outside in topics if inside != outside]


def parameter_files(names: Sequence[str], value: dict[str, str], namespace: str) -> list[str]:
    """Return the files for these nodes: the package's, the user's, then what the arguments say.

    The last is written here and names each node in full, which wins over wildcards in the others.
    """
    config = Path(get_package_share_directory(PACKAGE), "config")
    files = [str(config / f"{name}.yaml") for name in names]
    defaults = {f"/**/{name}": LAUNCH_DEFAULTS[name] for name in names if name in LAUNCH_DEFAULTS}
    if defaults:
        files.append(written(defaults))
    if value["params_file"]:
        files.append(value["params_file"])
    decided = {prefix_namespace(namespace, name): overrides(name, value) for name in names}
    return [*files, written(decided)]


def written(parameters: dict[str, dict[str, Parameter]]) -> str:
    """Write the parameters of nodes to a file and return its path."""
    content = {node: {"ros__parameters": values} for node, values in parameters.items()}
    with tempfile.NamedTemporaryFile("w", prefix="launch_params_", delete=False) as file:
        yaml.safe_dump(content, file)
    return file.name


def perception(context: LaunchContext) -> list[Node]:
    """Return one process with all nodes, or one for each."""
    value = {argument.name: context.launch_configurations[argument.name] for argument in ARGUMENTS}
    pushed = context.launch_configurations.get("ros_namespace")
    namespace = make_namespace_absolute(prefix_namespace(pushed, value["namespace"])) or "/"
    processes = {name: (name,) for name in chosen_nodes(value)}
    if value["single_process"] == "true":
        processes = {"perception": NODES}
    return [
        Node(
            package=PACKAGE,
            executable=executable,
            namespace=value["namespace"],
            parameters=parameter_files(members, value, namespace),
            remappings=remappings(value),
            ros_arguments=["--log-level", value["log_level"]],
            output="screen",
        )
        for executable, members in processes.items()
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and describe the processes."""
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(Path(get_package_share_directory(PACKAGE), "config/perception.rviz"))],
        parameters=[{"use_sim_time": LaunchConfiguration("use_sim_time")}],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription(
        [*ARGUMENTS, *large_image_profile(), OpaqueFunction(function=perception), rviz]
    )
