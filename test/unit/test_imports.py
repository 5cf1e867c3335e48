"""The order of the parts, over the imports that are really written and really happen."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = "cnn_perception"
SOURCE = Path(__file__).resolve().parents[2] / "src"
# From the bottom up; a part imports itself and what stands in lines above its own.
LAYERS = (
    ("errors",),
    ("settings",),
    ("config", "resources", "types"),
    ("image",),
    ("formats",),
    ("html", "messages", "runtime"),
    ("detection", "mapping", "segmentation"),
    ("classification", "networks"),
    ("explain",),
    ("explain_methods",),
    ("parameters",),
    ("components",),
    ("recording",),
    ("ros", "simulation"),
    ("datasets",),
    ("metrics",),
    ("evaluation", "export"),
    ("replay",),
    ("pretrained", "training"),
    ("demo",),
    ("benchmarks",),
    ("cli",),
)
HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}
ROS_PARTS = {"ros"}
ABOVE_ROS = ROS_PARTS | {"demo", "benchmarks", "cli"}
TORCH_PARTS = {
    "networks",
    "pretrained",
    "training",
    "export",
    "datasets",
    "metrics",
    "explain_methods",
}
TORCH_PARTS |= {"benchmarks"}  # in modules of their own, see below
ROS_PACKAGES = {
    "action_msgs",
    "ament_index_python",
    "builtin_interfaces",
    "cnn_perception_msgs",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "lifecycle_msgs",
    "message_filters",
    "nav_msgs",
    "octomap_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
    "tf2_ros",
    "vision_msgs",
    "visualization_msgs",
}
TORCH_PACKAGES = {
    "captum",
    "pytorch_grad_cam",
    "sklearn",
    "torch",
    "torchmetrics",
    "torchvision",
}
ROBOT = sorted(
    f"{PACKAGE}.{part}.{path.stem}"
    for part in ("components", "ros")
    for path in (SOURCE / PACKAGE / part).glob("[a-z]*.py")
)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def is_type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def imports(node: ast.AST, late: bool = True) -> Iterator[str]:
    """Yield what is imported at run time below a node, with `late` in functions too."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child) or (isinstance(child, ast.FunctionDef) and not late):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0 and child.module, "relative imports hide where they lead"
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                yield inner if inner in MODULES else child.module
        else:
            yield from imports(child, late)


TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
IMPORTS = {name: set(imports(tree)) for name, tree in TREES.items()}


def part(module: str) -> str:
    """Return the first level below the package or `offboard`, empty for these themselves."""
    return module.partition(".")[2].removeprefix("offboard").lstrip(".").partition(".")[0]


def is_offboard(module: str) -> bool:
    return module.startswith(f"{PACKAGE}.offboard")


def test_the_robots_half_does_not_look_off_the_robot() -> None:
    users = {
        part(module)
        for module, targets in IMPORTS.items()
        if any(map(is_offboard, targets)) and not is_offboard(module)
    }
    assert users == {"cli"}


@pytest.mark.parametrize("module", [name for name in MODULES if part(name)])
def test_imports_go_down(module: str) -> None:
    own = part(module)
    assert own in HEIGHT, f"{own} is new: give it a place in LAYERS"
    targets = {part(name) for name in IMPORTS[module] if name.split(".")[0] == PACKAGE}
    too_high = {name for name in targets - {own, ""} if HEIGHT[name] >= HEIGHT[own]}
    assert not too_high
    if own not in ABOVE_ROS:
        assert not targets & ROS_PARTS


def test_modules_can_be_loaded_in_some_order() -> None:
    # A factory that imports what it makes is no cycle at load time.
    graph = {
        name: {target for target in imports(tree, late=False) if target in MODULES}
        for name, tree in TREES.items()
    }
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(MODULES)


def test_a_public_name_is_of_one_class() -> None:
    classes = [
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert not {name for name in classes if classes.count(name) > 1}


@pytest.mark.parametrize("own", sorted(HEIGHT))
def test_no_circle_hides_in_functions(own: str) -> None:
    modules = {name for name in MODULES if part(name) == own}
    graph = {name: IMPORTS[name] & modules for name in modules}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == modules


def test_only_one_part_knows_ros() -> None:
    users = {
        part(module)
        for module, targets in IMPORTS.items()
        if {target.split(".")[0] for target in targets} & ROS_PACKAGES
    }
    assert users == ROS_PARTS


def test_only_the_training_side_knows_torch() -> None:
    users = {
        part(module)
        for module, targets in IMPORTS.items()
        if {target.split(".")[0] for target in targets} & TORCH_PACKAGES
    }
    assert users <= TORCH_PARTS


def test_only_commands_exports_and_benchmarks_look_into_networks() -> None:
    methods = f"{PACKAGE}.offboard.explain_methods"
    users = {
        module
        for module, targets in IMPORTS.items()
        if any(target.startswith(methods) for target in targets) and not module.startswith(methods)
    }
    assert {part(module) for module in users} <= {"benchmarks", "cli", "export"}


def loaded_by(modules: list[str]) -> set[str]:
    """Import modules in a fresh interpreter; return the top-level names that this loaded."""
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_core_loads_without_ros_torch_and_octomap() -> None:
    core = [
        module
        for module in MODULES
        if part(module) in {"", "types", "config", "settings", "image", "formats", "runtime"}
        or part(module) == "messages"
        or part(module) in {"classification", "detection", "segmentation", "mapping"}
        or part(module) in {"components", "recording", "replay"}
        or module == f"{PACKAGE}.explain.explainer"
    ]
    assert not loaded_by(core) & (ROS_PACKAGES | TORCH_PACKAGES | {"octomap"})


def test_benchmarks_of_what_runs_on_a_robot_load_no_torch() -> None:
    benchmarks = [f"{PACKAGE}.offboard.benchmarks.{name}" for name in ("explain", "models", "race")]
    assert not loaded_by(benchmarks) & TORCH_PACKAGES
    users = {
        module
        for module, targets in IMPORTS.items()
        if part(module) == "benchmarks" and {x.split(".")[0] for x in targets} & TORCH_PACKAGES
    }
    assert users == {f"{PACKAGE}.offboard.benchmarks.explain_torch"}


@pytest.mark.skipif(
    find_spec("rclpy") is None, reason="no rclpy: install ROS 2, or run 'make setup'"
)
def test_nodes_load_no_torch_and_nothing_of_training() -> None:
    loaded = loaded_by(ROBOT)
    assert "rclpy" in loaded
    assert not loaded & (TORCH_PACKAGES | {"mujoco", "onnx", "pycocotools", "matplotlib"})


def test_only_what_maps_loads_numba() -> None:
    others = [f"{PACKAGE}.{name}" for name in ("parameters", "replay.expectations.map_difference")]
    assert not loaded_by(others) & {"numba", "octomap"}


def test_the_command_line_starts_light() -> None:
    heavy = {"cv2", "jinja2", "mujoco", "numba", "numpy", "octomap", "onnxruntime", "rosbags"}
    assert not loaded_by([f"{PACKAGE}.cli.main"]) & (heavy | ROS_PACKAGES | TORCH_PACKAGES)


def test_the_pytest_plugin_starts_light() -> None:
    # pytest loads it in every environment that the package is installed in.
    loaded = loaded_by([f"{PACKAGE}.replay.testing.pytest_plugin"]) - loaded_by(["pytest"])
    assert loaded - sys.stdlib_module_names == {PACKAGE}
