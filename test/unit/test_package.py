"""What colcon and pip make of the tree: package.xml, setup.py, setup.cfg and an installation."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from distutils.core import run_setup
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import setuptools  # noqa: F401  # it provides distutils where Python no longer does

import cnn_perception

REPOSITORY = Path(__file__).resolve().parents[2]
SHARE = "share/cnn_perception"
NODES = {"detector", "segmenter", "explainer", "mapper", "perception"}
# Import names whose distribution has another name.
DISTRIBUTIONS = {
    "pytorch_grad_cam": "grad-cam",
    "cv2": "opencv-python-headless",
    "octomap": "octomap-python",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


# Built from this tree on a robot, after a line of docs/robot.md; rosdep must not look for it.
OPTIONAL = {"cnn_perception_msgs"}


@pytest.fixture(scope="module")
def manifest() -> Any:
    """package.xml as the ROS tools read it."""
    catkin_pkg = pytest.importorskip(
        "catkin_pkg.package", reason="no catkin_pkg: pip install catkin_pkg"
    )
    return catkin_pkg.parse_package(str(REPOSITORY / "package.xml"))


@pytest.fixture(scope="module")
def distribution() -> Any:
    """setup.py as setuptools reads it."""
    before = Path.cwd()
    os.chdir(REPOSITORY)
    try:
        return run_setup("setup.py", stop_after="init")
    finally:
        os.chdir(before)


@cache
def imported_packages() -> frozenset[str]:
    """Return the top-level names that the sources import."""
    names: set[str] = set()
    for path in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").partition(".")[0])
    return frozenset(names - set(sys.stdlib_module_names) - {"cnn_perception"})


def is_ros(name: str) -> bool:
    return name == "rclpy" or name.endswith(("_msgs", "_srvs", "_interfaces"))


def name_of(requirement: str) -> str:
    """Return the normalised name of the distribution that a requirement asks for."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("_", "-")


def test_manifest_is_valid_and_says_ament_python(manifest: Any) -> None:
    # An invalid manifest makes colcon take the package for plain Python, without a word.
    warnings: list[str] = []
    manifest.validate(warnings=warnings)
    assert not warnings
    assert manifest.name == "cnn_perception"
    assert [e.content for e in manifest.exports if e.tagname == "build_type"] == ["ament_python"]
    assert (REPOSITORY / manifest.licenses[0].file).is_file()


def test_versions_agree(manifest: Any, distribution: Any) -> None:
    assert manifest.version == distribution.get_version() == cnn_perception.__version__


def test_every_ros_package_that_is_imported_is_declared(manifest: Any) -> None:
    declared = {dependency.name for dependency in manifest.exec_depends}
    assert {name for name in imported_packages() if is_ros(name)} <= declared | OPTIONAL


def test_every_library_that_is_imported_is_declared(distribution: Any) -> None:
    groups = [distribution.install_requires, *distribution.extras_require.values()]
    declared = {name_of(requirement) for group in groups for requirement in group}
    needed = {
        name_of(DISTRIBUTIONS.get(name, name)) for name in imported_packages() if not is_ros(name)
    }
    assert needed <= declared


def test_apt_and_the_documented_pip_line_bring_every_library(
    manifest: Any, distribution: Any
) -> None:
    text = (REPOSITORY / "docs" / "robot.md").read_text(encoding="utf-8")
    line = re.search(r"^pip install ((?:.*\\\n)*.*)", text, re.MULTILINE)
    assert line is not None
    from_pip = {name_of(word) for word in shlex.split(line[1])}
    keys = {"opencv-python-headless": "python3-opencv", "pyyaml": "python3-yaml"}
    from_apt = {dependency.name for dependency in manifest.exec_depends}
    for requirement in [*distribution.install_requires, *distribution.extras_require["cpu"]]:
        name = name_of(requirement)
        assert name in from_pip or keys.get(name, f"python3-{name}") in from_apt, name


def test_share_holds_everything_a_robot_needs(distribution: Any) -> None:
    installed = {
        f"{folder}/{Path(file).name}": REPOSITORY / file
        for folder, files in distribution.data_files
        for file in files
    }
    assert all(path.is_file() for path in installed.values())
    assert "share/ament_index/resource_index/packages/cnn_perception" in installed
    for pattern in ("package.xml", "launch/*.launch.py", "config/*.yaml", "config/*.xml"):
        assert any(REPOSITORY.glob(pattern))
        for path in REPOSITORY.glob(pattern):
            assert f"{SHARE}/{path.relative_to(REPOSITORY)}" in installed
    for path in (REPOSITORY / "models").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert f"{SHARE}/{path.relative_to(REPOSITORY)}" in installed
    assert f"{SHARE}/interfaces/vision_msgs/msg/Detection2D.msg" in installed
    assert not [name for name in installed if "/build/" in name or name.endswith(".pyc")]


def test_every_script_has_a_main(distribution: Any) -> None:
    scripts = {}
    for line in distribution.entry_points["console_scripts"]:
        name, _, target = (part.strip() for part in line.partition("="))
        scripts[name] = target
    assert set(scripts) == NODES | {"cnn-perception"}
    for target in scripts.values():
        module, _, function = target.partition(":")
        path = REPOSITORY / "src" / Path(*module.split(".")).with_suffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation as colcon makes it, by the same commands of setup.py."""
    folder = tmp_path_factory.mktemp("colcon")
    prefix, info = folder / "install", folder / "egg-info"
    info.mkdir()
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(info)]
    command += ["build", "--build-base", str(folder / "build"), "install", "--prefix", str(prefix)]
    command += ["--record", str(folder / "record"), "--single-version-externally-managed"]
    # Where Debian's Python would insert local/ below the prefix, colcon asks for the plain scheme.
    environment = {**os.environ, "DEB_PYTHON_INSTALL_LAYOUT": "deb"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return prefix


def test_no_two_test_files_have_one_name() -> None:
    # With launch_testing installed pytest collects them by their base names.
    names = [path.name for path in (REPOSITORY / "test").rglob("*.py") if path.stem != "conftest"]
    assert not {name for name in names if names.count(name) > 1}


def test_installed_scripts_lie_where_ros2_run_looks(prefix: Path) -> None:
    scripts = {path.name for path in (prefix / "lib" / "cnn_perception").iterdir()}
    assert scripts == NODES | {"cnn-perception"}
    assert not (prefix / "bin").exists()


def test_what_lies_beside_the_modules_is_installed(prefix: Path) -> None:
    package = next(prefix.glob("lib/python*/*-packages/cnn_perception"))
    source = REPOSITORY / "src" / "cnn_perception"
    beside = [
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    ]
    assert {".css", ".js", ".jinja", ".onnx"} <= {path.suffix for path in beside}
    assert not [str(path) for path in beside if not (package / path).is_file()]


def test_installed_package_finds_its_share(prefix: Path) -> None:
    packages = next(prefix.glob("lib/python*/*-packages"))
    script = "from cnn_perception.resources import share_directory; print(share_directory())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(packages)},
        cwd=prefix,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    share = Path(done.stdout.strip())
    assert share == prefix / SHARE
    assert (share / "package.xml").is_file()
    assert (share / "interfaces/octomap_msgs/msg/Octomap.msg").is_file()
