"""Names of bags, and the paths that have them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.replay.expectations import schema
from cnn_perception.replay.per_bag import bag_name, bag_names, check_golden_paths, for_bag
from cnn_perception.replay.plan import ReplayPlan, Truth


def test_a_file_is_named_without_its_ending_and_a_folder_with_its_dots(tmp_path: Path) -> None:
    assert bag_name(tmp_path / "drive.mcap") == "drive"
    assert bag_name(tmp_path / "drive.v2") == "drive.v2"


def test_names_that_clash_get_numbers_that_are_free() -> None:
    bags = [Path(name) for name in ("a/drive", "b/drive", "c/drive-2", "d/drive", "e/other")]
    assert bag_names(bags) == ("drive", "drive-3", "drive-2", "drive-4", "other")


def test_paths_get_the_name_of_the_bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = dataclasses.replace(ReplayPlan(), truth=Truth(map=Path("maps/{bag}.bt")))
    its_plan, its_expectations = for_bag(plan, schema.Expectations(Path("golden/{bag}")), "drive")
    assert its_plan.truth == Truth(map=tmp_path / "maps" / "drive.bt")
    assert its_expectations.golden == tmp_path / "golden" / "drive"
    nothing = dataclasses.replace(ReplayPlan(), truth=None)
    for plan in (ReplayPlan(), nothing):
        assert for_bag(plan, schema.Expectations(), "drive") == (plan, schema.Expectations())


def test_golden_results_of_several_bags_need_a_place_each() -> None:
    check_golden_paths(schema.Expectations(Path("golden")), 1)
    check_golden_paths(schema.Expectations(Path("golden/{bag}")), 2)
    with pytest.raises(ConfigError, match=r"golden = golden: 2 bags .* as in golden/\{bag\}"):
        check_golden_paths(schema.Expectations(Path("golden")), 2)
    with pytest.raises(ConfigError, match="nothing to update"):
        check_golden_paths(schema.Expectations(), 1)
