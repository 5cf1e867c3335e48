"""The mapper alone: depth images or point clouds and transforms in, an OctoMap out.

    ros2 launch cnn_perception mapping.launch.py depth:=/camera/depth/image_rect_raw map_frame:=odom
    ros2 launch cnn_perception mapping.launch.py depth:=/camera/depth max_range:=5.0 \
        octomap_path:=$HOME/home.ot save_path:=$HOME/home.ot autosave_period:=60
    ros2 launch cnn_perception mapping.launch.py cloud:=/velodyne_points resolution:=0.1
    ros2 launch cnn_perception mapping.launch.py cameras:=front,rear

It takes every argument of perception.launch.py that concerns the mapper; `--show-args` lists them.
With `cameras` the topics are front/depth/image, front/depth/camera_info and so on.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PythonExpression

LAUNCH = Path(get_package_share_directory("cnn_perception"), "launch")


def generate_launch_description() -> LaunchDescription:
    """Include perception.launch.py with the mapper as its only node."""
    cloud = LaunchConfiguration("cloud")
    # Without a cloud the depth topic keeps the name that the node gives it, to be remapped outside.
    default_depth = PythonExpression(["'' if '", cloud, "' else 'depth/image'"])
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "cloud", default_value="", description="Topic of point clouds; empty: map depth."
            ),
            DeclareLaunchArgument(
                "depth", default_value=default_depth, description="Topic of depth images."
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(LAUNCH / "perception.launch.py")),
                launch_arguments={
                    "nodes": "mapper",
                    "cloud": cloud,
                    "depth": LaunchConfiguration("depth"),
                }.items(),
            ),
        ]
    )
