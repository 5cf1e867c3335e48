"""docs/components.md shows the example as it is, and the example is a package that ROS takes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import cnn_perception.components
from cnn_perception.components.registry import GROUP
from installed_components import EXAMPLE, PEOPLE_COUNTER

DOCUMENT = EXAMPLE.parents[1] / "docs" / "components.md"
SHOWN = re.compile(r"^`([\w./]+)`\n\n```\w+\n(.*?)```$", re.MULTILINE | re.DOTALL)
TEXT = DOCUMENT.read_text(encoding="utf-8")
FILES: dict[str, str] = dict(SHOWN.findall(TEXT))
COMPONENT = EXAMPLE / "own_component" / "people_counter.py"


@pytest.mark.parametrize("path", sorted(FILES))
def test_the_code_that_is_shown_is_that_of_the_example(path: str) -> None:
    assert (EXAMPLE / path).read_text(encoding="utf-8") == FILES[path]


def test_all_that_is_not_the_same_in_any_package_is_shown() -> None:
    there = {
        path.relative_to(EXAMPLE).as_posix()
        for pattern in ("*/*.py", "*.py", "*.yaml", "*/*.yaml")
        for path in EXAMPLE.glob(pattern)
        if path.name != "__init__.py" and path.parts[len(EXAMPLE.parts)] not in ("build", "install")
    }
    assert set(FILES) == there


def test_the_component_has_forty_lines_at_most() -> None:
    lines = COMPONENT.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 40


def test_it_imports_from_one_place() -> None:
    tree = ast.parse(COMPONENT.read_text(encoding="utf-8"))
    used = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnn_perception")
        for alias in node.names
    }
    assert used == {"cnn_perception.components"}


def test_every_public_name_is_explained_and_there() -> None:
    names = cnn_perception.components.__all__
    assert list(names) == sorted(names)
    assert all(getattr(cnn_perception.components, name).__doc__ for name in names)


def test_its_manifest_is_valid_and_says_ament_python() -> None:
    # An invalid manifest makes colcon take the package for plain Python, without a word.
    catkin = pytest.importorskip(
        "catkin_pkg.package", reason="no catkin_pkg: pip install catkin_pkg"
    )
    manifest = catkin.parse_package(str(EXAMPLE / "package.xml"))
    warnings: list[str] = []
    manifest.validate(warnings=warnings)
    assert not warnings
    assert [e.content for e in manifest.exports if e.tagname == "build_type"] == ["ament_python"]
    assert (EXAMPLE / "resource" / manifest.name).is_file()


def test_its_entry_points_name_what_is_there() -> None:
    setup = (EXAMPLE / "setup.py").read_text(encoding="utf-8")
    (entry,) = (f"{name} = {value}" for name, value in PEOPLE_COUNTER.items())
    assert GROUP in setup
    assert entry.replace("own_component", "{PACKAGE}") in setup
    assert "def main()" in (EXAMPLE / "own_component" / "node.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "docs/nodes.md", "docs/replay.md"])
def test_other_pages_lead_to_it(name: str) -> None:
    text = (EXAMPLE.parents[1] / name).read_text(encoding="utf-8")
    path = Path(name).parent.as_posix()
    assert f"({'docs/' if path == '.' else ''}components.md" in text
