"""A declaration checks every instance, whoever makes it, and says what is wrong in one line."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.settings import (
    REQUIRED,
    Config,
    Kind,
    Line,
    NodeParameters,
    SettingError,
    Text,
    nearest,
    read,
    setting,
    settings,
)


class Even(Kind):
    """A kind of one's own."""

    schema = {"type": "integer", "multipleOf": 2}  # noqa: RUF012
    wanted = "an even number"

    def read(self, value: Any, folder: Path | None) -> int:
        if not isinstance(value, int) or value % 2:
            raise self.misfit(value)
        return value


@dataclass(frozen=True, slots=True)
class Lens(Config):
    name: Text = setting(REQUIRED, "What it is called")
    focal: float = setting(1.0, "Focal length", minimum=0.1, maximum=10.0)


@dataclass(frozen=True, slots=True)
class Rig(Config):
    count: int = setting(2, "How many", minimum=1, maximum=8)
    rate: float = setting(
        10.0, "Images per second", minimum=0.5, live=True, parameter="camera.rate"
    )
    most: int = setting(9, "Most of something", maximum=100)
    on: bool = setting(True, "Whether it runs")
    mode: str = setting("fast", "How it runs", choices=("fast", "slow"))
    phase: Literal["idle", "busy"] = setting("idle", "What it does")
    title: Line = setting("", "One line")
    labels: tuple[Text, ...] = setting((), "Names")
    offsets: tuple[float, ...] = setting((), "Shifts", minimum=-1.0, maximum=1.0)
    size: tuple[int, int] | None = setting(None, "Width and height", minimum=1)
    file: Path | None = setting(None, "A file")
    lens: Lens = setting(Lens("wide"), "The lens")
    lenses: Mapping[str, Lens] = setting({}, "More lenses, by place")
    gains: Mapping[str, Mapping[str, float]] = setting({}, "Gains, by place", keys=("red", "blue"))
    flash: Literal[False] | Lens = setting(False, "A flash, or none")
    notes: Mapping[str, Any] = setting({}, "Whatever there is to say")
    teeth: Annotated[int, Even()] = setting(4, "Teeth of the gear")
    least: int = setting(3, "Called min in files", key="min")

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        if self.least > self.most:
            raise SettingError("min", f"= {self.least} is above most = {self.most}")


def test_values_become_what_the_annotation_says(tmp_path: Path) -> None:
    rig = Rig.from_mapping(
        {
            "rate": 5,
            "title": "  a\n b ",
            "labels": ["a ", "b"],
            "offsets": [0, 1],
            "size": [4, 3],
            "file": "x/y.txt",
            "lens": {"name": "tele", "focal": 5},
            "lenses": {"left": {"name": "l"}},
            "gains": {"left": {"red": 2}},
            "flash": {"name": "f"},
            "notes": {"a": [1, None]},
            "min": 2,
        },
        tmp_path,
    )
    assert rig == Rig(
        rate=5.0,
        title="a b",
        labels=("a", "b"),
        offsets=(0.0, 1.0),
        size=(4, 3),
        file=tmp_path / "x" / "y.txt",
        lens=Lens("tele", 5.0),
        lenses={"left": Lens("l")},
        gains={"left": {"red": 2.0}},
        flash=Lens("f"),
        notes={"a": [1, None]},
        least=2,
    )
    assert type(rig.rate) is type(rig.offsets[0]) is type(rig.gains["left"]["red"]) is float


def test_instances_made_by_hand_are_read_alike() -> None:
    rig = Rig(rate=5, offsets=[1], lens={"name": "x"}, file="y")  # type: ignore[arg-type]
    assert (type(rig.rate), rig.offsets, rig.lens, rig.file) == (
        float,
        (1.0,),
        Lens("x"),
        Path("y"),
    )
    with pytest.raises(ConfigError, match=r"^count = 0: give a whole number, 1 to 8$"):
        dataclasses.replace(rig, count=0)


def test_keys_without_a_value_mean_the_default_where_that_is_no_mistake() -> None:
    empty = dict.fromkeys(["labels", "size", "file", "lens", "lenses", "flash", "title"])
    assert Rig.from_mapping(empty) == Rig()
    for key in ("count", "rate", "on", "mode"):
        with pytest.raises(ConfigError, match=rf"^the key {key} is missing: add it$"):
            Rig.from_mapping({key: None})


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"cuont": 1}, "unknown key cuont: did you mean count?"),
        ({"zzz": 1}, "unknown key zzz: known are count, rate, most"),
        ({3: 1}, "unknown key 3: known are count"),
        ({"a\nb": 1}, "unknown key 'a\\nb': known are count"),
        ({"count": 0}, "count = 0: give a whole number, 1 to 8"),
        ({"count": 2.0}, "count = 2.0: give a whole number, 1 to 8"),
        ({"count": True}, "count = True: give a whole number, 1 to 8"),
        ({"rate": 0}, "rate = 0: give a number, 0.5 or more"),
        ({"rate": float("nan")}, "rate = nan: give a number, 0.5 or more"),
        ({"rate": float("inf")}, "rate = inf: give a number, 0.5 or more"),
        ({"rate": 10**400}, "give a number, 0.5 or more"),
        ({"most": 101}, "most = 101: give a whole number, 100 or less"),
        ({"on": 1}, "on = 1: give true or false"),
        ({"mode": "slwo"}, "mode = 'slwo': did you mean slow?"),
        ({"mode": "off"}, "mode = 'off': choose one of fast, slow"),
        ({"mode": 3}, "mode = 3: give a text, in quotes"),
        ({"phase": "zzz"}, "phase = 'zzz': choose one of idle, busy"),
        ({"title": " "}, "title = ' ': give a text, in quotes"),
        ({"labels": "a"}, "labels = 'a': give a list"),
        ({"labels": []}, "labels is empty: give at least one"),
        ({"labels": ["a", 3]}, "labels[1] = 3: give a text, in quotes"),
        ({"labels": ["a", "a"]}, "labels[1] = 'a' is given twice: remove one"),
        ({"offsets": [0, 2]}, "offsets[1] = 2: give a number from -1 to 1"),
        ({"size": [1]}, "size = [1]: give 2 numbers"),
        ({"size": [1, "x"]}, "size[1] = 'x': give a whole number, 1 or more"),
        ({"file": ""}, "file = '': give the name of a file, in quotes"),
        ({"file": "a\0b"}, "file = 'a\\x00b': give the name of a file, in quotes"),
        ({"file": "x" * 5000}, "File name too long"),
        ({"lens": {}}, "the key lens.name is missing: add it"),
        ({"lens": 3}, "lens is 3: give a mapping with the keys name, focal"),
        ({"lens": {"name": "a", "focal": 99}}, "lens.focal = 99: give a number from 0.1 to 10"),
        ({"lenses": {"left": {"nmae": "a"}}}, "unknown key lenses.left.nmae: did you mean name?"),
        ({"lenses": {"left": None}}, "the key lenses.left is missing: add it"),
        ({"lenses": {3: {"name": "a"}}}, "lenses.3 is a key that is no text: put it in quotes"),
        ({"lenses": []}, "lenses is []: give a mapping with a name for each"),
        ({"gains": {"left": {"green": 1}}}, "unknown key gains.left.green: known are red, blue"),
        ({"gains": {"left": 1}}, "gains.left is 1: give a mapping with the keys red, blue"),
        ({"flash": True}, "flash is True: give a mapping with the keys name, focal"),
        ({"teeth": 3}, "teeth = 3: give an even number"),
        ({"least": 3}, "unknown key least"),
        ({"min": 10}, "min = 10 is above most = 9"),
        ([], "the file is []: give a mapping with the keys count"),
        (None, "the file is None: give a mapping with the keys count"),
    ],
)
def test_what_is_wrong_is_one_line(values: Any, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rig.from_mapping(values)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_class_is_read_once() -> None:
    assert settings(Rig) is settings(Rig(count=3))


def test_annotations_that_no_setting_can_have() -> None:
    @dataclass(frozen=True, slots=True)
    class Odd(Config):
        value: complex = setting(1j, "A complex number")

    with pytest.raises(TypeError, match="a setting cannot be of type"):
        settings(Odd)


def test_parameters_by_their_ros_names() -> None:
    node = NodeParameters((Lens, Rig), {"name": "usual", "count": 3})
    values = node.complete({"camera.rate": 4, "labels": ["a"]})
    assert (values["camera.rate"], values["count"], values["autostart"]) == (4.0, 3, True)
    assert values["labels"] == ("a",)
    rig = read(values, Rig)
    assert (rig.rate, rig.count, rig.labels) == (4.0, 3, ("a",))
    assert read(values, Lens) == Lens("usual")
    with pytest.raises(ConfigError, match=r"unknown parameter camera\.rtae: did you mean camera"):
        node.complete({"camera.rtae": 4})
    with pytest.raises(ConfigError, match=r"camera\.rate = 0: give a number, 0\.5 or more"):
        node.complete({"camera.rate": 0})


def test_nearest_names() -> None:
    assert nearest("colr", ["color", "depth"]) == "did you mean color?"
    assert nearest("x", ["color", "depth"], "it has") == "it has color, depth"
    assert nearest("x", []) == "known are none"
