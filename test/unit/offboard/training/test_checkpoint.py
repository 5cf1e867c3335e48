from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.errors import ConfigError, ModelError  # noqa: E402
from cnn_perception.offboard.training.checkpoint import (  # noqa: E402
    check_same_plan,
    load_checkpoint,
    read_state,
    write_state,
)
from cnn_perception.offboard.training.plan import parse_plan  # noqa: E402
from cnn_perception.offboard.training.tasks import make_task  # noqa: E402

TREE = {"task": "classification", "network": {"name": "lenet5", "weights": "none"}}
LABELS = ("a", "b", "c")


def state(**changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    network = make_task(parse_plan(TREE, "test"), LABELS).build()
    return {"average": network.state_dict(), "plan": TREE, "labels": list(LABELS), **changes}


def test_the_least_that_a_checkpoint_holds_makes_a_network(tmp_path: Path) -> None:
    path = tmp_path / "some.pt"
    write_state(path, state())
    loaded = load_checkpoint(path)
    assert loaded.labels == LABELS and loaded.task.labels == LABELS
    assert loaded.plan.tree == TREE and loaded.step == 0 and loaded.figures == {}
    assert not loaded.network.training
    for name, value in state()["average"].items():
        assert torch.equal(loaded.network.state_dict()[name], value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"plan": None}, "not a training plan"),
        ({"labels": ["a", "b"]}, "does not fit its own plan"),
        ({"average": {}}, "does not fit its own plan"),
    ],
)
def test_checkpoints_that_contradict_themselves_are_refused(
    changes: dict[str, Any], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "some.pt"
    write_state(path, state(**changes))
    with pytest.raises((ModelError, ConfigError), match=text) as caught:
        load_checkpoint(path)
    assert "some.pt" in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_none_are_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "some.pt"
    with pytest.raises(ModelError, match=r"some\.pt does not exist"):
        load_checkpoint(path)
    write_state(path, state())
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"some\.pt is not a readable") as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value)
    torch.save({"other": 1}, path)
    with pytest.raises(ModelError, match="lacks average"):
        load_checkpoint(path)
    torch.save({"average": {}}, path)
    with pytest.raises(ModelError, match="lacks plan, labels"):
        load_checkpoint(path)


def test_a_checkpoint_that_could_not_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.pt"
    write_state(path, state(step=1))

    def full(content: object, file: Any) -> None:
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ModelError, match=r"some\.pt cannot be written: No space left"):
        write_state(path, state(step=2))
    assert read_state(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["some.pt"]


@pytest.mark.parametrize(
    ("section", "key", "value", "same"),
    [
        ("network", "name", "resnet18", False),
        ("network", "extra", 1, False),
        ("data", "train", "other", False),
        ("data", "path", "elsewhere", True),
        ("data", "broken", "skip", True),
        ("augmentation", "flip", 0.25, False),
        ("optimisation", "batch", 3, False),
        ("optimisation", "batch", 32, True),  # the default, now written out
        ("optimisation", "workers", 3, True),
    ],
)
def test_what_may_differ_between_parts_of_a_run(
    section: str, key: str, value: Any, same: bool
) -> None:
    changed = {**TREE, section: {**TREE.get(section, {}), key: value}}  # type: ignore[dict-item]
    plans = parse_plan(TREE, "old"), parse_plan(changed, "new")
    for old, new in (plans, plans[::-1]):
        if same:
            check_same_plan(old, new, Path("run/checkpoint.pt"))
            continue
        with pytest.raises(ConfigError, match=rf"{section}\.{key} = .* run in run began with"):
            check_same_plan(old, new, Path("run/checkpoint.pt"))
