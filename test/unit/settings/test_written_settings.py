"""What is made from the declarations is shipped as they give it, and shipped files obey it."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnn_perception.replay.plan import NODES, ReplayPlan

SCHEMAS = ("model", "replay_plan", "expectations", "training_plan")


@pytest.fixture(scope="module")
def script(repository: Path) -> Mapping[str, Any]:
    return runpy.run_path(str(repository / "docs" / "write_settings.py"))


def test_shipped_schemas_and_tables_are_those_of_the_declarations(
    script: Mapping[str, Any],
) -> None:
    for path, text in script["written"]().items():
        assert path.read_text(encoding="utf-8") == text, "run python docs/write_settings.py"


def validator(repository: Path, name: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="no jsonschema: install [test]")
    file = repository / "config" / "schema" / f"{name}.schema.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def examples(repository: Path, name: str) -> list[str]:
    """The shipped files of a kind, and those that the manual shows."""
    if name == "model":
        files = sorted((repository / "models").glob("*/model.yaml"))
        page, start = "models.md", "name: "
    elif name == "training_plan":
        files = sorted((repository / "config" / "training").glob("*.yaml"))
        files += sorted((repository / "models").glob("*/training.yaml"))
        page, start = "", ""
    elif name == "expectations":
        files = [repository / "test" / "data" / "demo_drive.yaml"]
        page, start = "expectations.md", ""
    else:
        files, page, start = [], "replay.md", ""
    texts = [file.read_text(encoding="utf-8") for file in files]
    if page:
        manual = (repository / "docs" / page).read_text(encoding="utf-8")
        blocks = re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)
        texts += [block for block in blocks if block.startswith(start)][: None if start else 1]
    assert texts
    return texts


@pytest.mark.parametrize("name", SCHEMAS)
def test_shipped_files_obey_the_schema(repository: Path, name: str) -> None:
    check = validator(repository, name)
    for text in examples(repository, name):
        tree = yaml.safe_load(text)
        assert [error.message for error in check.iter_errors(tree)] == []
        assert not check.is_valid({**tree, "zzz": 1})


def test_a_plan_told_as_values_obeys_the_schema(repository: Path) -> None:
    told = ReplayPlan().as_mapping()
    told = {name: told[name] for name in (*NODES, "patience", "window", "clouds")}
    check = validator(repository, "replay_plan")
    assert [error.message for error in check.iter_errors(told)] == []
    assert not check.is_valid({"mapper": {"resolution": 0}})
    assert check.is_valid({"mapper": {"sensor_model": {"hit": 0.8}, "sensor_model.miss": 0.3}})


def test_a_file_may_name_its_schema(repository: Path) -> None:
    files = [*(repository / "config" / "training").glob("*.yaml")]
    files.append(repository / "test" / "data" / "demo_drive.yaml")
    for file in files:
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        assert first.startswith("# yaml-language-server: $schema=")
        assert (file.parent / first.partition("=")[2]).is_file()
