"""Components as other packages bring them: a folder on the path, with entry points as pip's."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cnn_perception.components.registry import GROUP

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "own_component"
PEOPLE_COUNTER = {"people_counter": "own_component.people_counter:PeopleCounter"}


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    entries: Mapping[str, str] = PEOPLE_COUNTER,
    source: Path = EXAMPLE,
) -> None:
    """Put a package's folder on the path, and its entry points, by name, below another folder."""
    about = folder / "installed" / "own_component-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own_component\nVersion: 0.1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")
    for path in (about.parent, source):
        monkeypatch.syspath_prepend(str(path))
    for value in entries.values():
        monkeypatch.delitem(sys.modules, value.partition(":")[0], raising=False)
