"""Any content of any file of settings is read, or refused in one line that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.training.plan import TrainingPlan
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.plan import load_plan, plan_file
from cnn_perception.runtime.bundle import BundleFile
from cnn_perception.settings import Config
from cnn_perception.settings import settings as settings_of
from cnn_perception.settings.files import parse

FILES: dict[str, type[Config]] = {
    "model": BundleFile,
    "expectations": Expectations,
    "replay_plan": plan_file(),
    "training_plan": TrainingPlan,
}
FUZZ = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from([0, 1, 0.5, "detection", "detector", "~nobody/x", [0, 1], {"min": 1}])
)


def values(keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


def every_key(schema: Any) -> set[str]:
    """Every key that a schema knows, at whatever depth."""
    if isinstance(schema, list):
        return set().union(*map(every_key, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})).union(*map(every_key, schema.values()))


@pytest.mark.parametrize("name", FILES)
@FUZZ
@given(data=st.data())
def test_any_content_is_read_or_refused_in_one_line(name: str, data: st.DataObject) -> None:
    config = FILES[name]
    schema = config.as_kind().schema
    keys = st.sampled_from(sorted(every_key(schema))) | st.text(max_size=4) | st.integers()
    own = st.sampled_from([known.key or known.name for known in settings_of(config)])
    tree = data.draw(st.dictionaries(own, values(keys), max_size=6) | values(keys))
    try:
        found = parse(tree, config, Path("folder/file.yaml"))
    except ConfigError as error:
        text = str(error)
        assert text.startswith("folder/file.yaml: ")
        assert "\n" not in text
        assert len(text) < 4000
    else:
        assert isinstance(found, config)
        assert parse(tree, config, Path("folder/file.yaml")) == found


@FUZZ
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "plan.yaml"
    file.write_bytes(content)
    try:
        load_plan(file)
    except ConfigError as error:
        assert str(file) in str(error)
        assert "\n" not in str(error)
