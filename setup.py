"""Build description of cnn_perception (ament_python): used by colcon and by pip."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "cnn_perception"
ROOT = Path(__file__).resolve().parent
SHARE = f"share/{PACKAGE}"
PLUGIN = f"{PACKAGE}.replay.testing.pytest_plugin"

# Files that a robot needs beside the code, by folder below the share directory. The message texts
# are only read by the offline bag reader; they do not make this a message package.
SHARED_FILES = (
    "package.xml",
    "launch/*.launch.py",
    "config/**/*",
    "models/**/*",
    "interfaces/*/msg/*.msg",
    "interfaces/*/srv/*.srv",
)
NODES = ("detector", "segmenter", "explainer", "mapper", "perception")

OCTOMAP = "octomap-python>=1.8"
ROS_WHEELS = [
    "ros-rclpy[fastrtps]>=7.1",
    "ros-sensor-msgs",
    "ros-nav-msgs",
    "ros-visualization-msgs",
    "ros-diagnostic-msgs",
    "ros-std-srvs",
]


def version() -> str:
    """Return ``__version__`` without importing the package, which may lack its dependencies."""
    text = (ROOT / "src" / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"src/{PACKAGE}/__init__.py has no __version__ line")
    return match.group(1)


def data_files() -> list[tuple[str, list[str]]]:
    """Return (folder below the prefix, files) for the ament index and the share directory."""
    folders: dict[str, list[str]] = defaultdict(list)
    folders["share/ament_index/resource_index/packages"].append(f"resource/{PACKAGE}")
    for pattern in SHARED_FILES:
        for path in sorted(ROOT.glob(pattern)):
            relative = path.relative_to(ROOT)
            if path.is_file() and not any(part.startswith(".") for part in relative.parts):
                folders[(Path(SHARE) / relative.parent).as_posix()].append(relative.as_posix())
    return sorted(folders.items())


setup(
    name=PACKAGE,
    version=version(),
    description="CNN perception for ROS 2: detections, masks, Grad-CAM explanations, OctoMap",
    maintainer="cnn_perception maintainers",
    maintainer_email="maintainers@cnn-perception.example",
    license="Apache-2.0",
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={
        "": ["*.css", "*.js", "*.html.jinja"],
        PACKAGE: ["py.typed", "offboard/benchmarks/*.cpp", "detection/*.onnx"],
    },
    data_files=data_files(),
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=[
        "setuptools",
        "numpy>=1.26,<3",
        "opencv-python-headless>=4.6",
        "PyYAML>=6",
        "numba>=0.58",
        "rosbags>=0.11",
        # By which rosbags reads the QoS of a bag's topics three times as fast.
        "ruamel.yaml.clib>=0.2.8",
        "typer>=0.12",
        "rich>=13",
        "jinja2>=3.1",
    ],
    extras_require={
        # Exactly one of cpu and gpu: the two wheels own the same files, and the one installed last
        # wins, which is how a robot ends up on the CPU without a word.
        "cpu": ["onnxruntime>=1.17"],
        "gpu": ["onnxruntime-gpu[cuda,cudnn]>=1.21"],
        "ros": ROS_WHEELS,
        # The mapper's `engine: octomap`, the reference that benchmarks and tests compare with.
        "octomap": [OCTOMAP],
        "sim": ["mujoco>=3.3.7"],
        "train": [
            "torch",
            "torchvision",
            "onnx",
            "onnxscript",
            "onnx-ir",
            "pycocotools",
            "torchmetrics",
            "tensorboard",
            "scikit-learn",
            "threadpoolctl",
        ],
        # Replays of many bags at a time, on one machine or a cluster.
        "fleet": ["ray>=2.40"],
        "test": [
            OCTOMAP,
            "pytest",
            "hypothesis",
            "jsonschema",
            "catkin_pkg",
            "mujoco>=3.3.7",
            "onnx",
            "pycocotools",
            "selenium>=4.20",
            "ray>=2.40",
        ],
        # What explanations are compared with. They bring torch, which the other tests do without.
        "oracle": ["captum", "grad-cam"],
        "dev": ["ruff", "mypy", "types-PyYAML"],
    },
    entry_points={
        "console_scripts": [
            f"{PACKAGE.replace('_', '-')} = {PACKAGE}.cli.main:main",
            *(f"{node} = {PACKAGE}.ros.run:{node}" for node in NODES),
        ],
        # Named like the module: `pytest -p` with it finds this one, and does not load it twice.
        "pytest11": [
            f"{PACKAGE}.replay.testing.pytest_plugin = {PACKAGE}.replay.testing.pytest_plugin"
        ],
    },
)
