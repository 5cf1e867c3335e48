"""The catalog of published networks, held against torchvision's own lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import ModelError
from cnn_perception.offboard.pretrained.catalog import find_published, read_catalog
from cnn_perception.runtime.locate import find_bundle
from cnn_perception.settings.files import read_yaml

CATALOG = read_catalog()
TORCHVISION = [name for name, network in CATALOG.items() if network.weights]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_says_the_same(name: str) -> None:
    models = pytest.importorskip("torchvision.models", reason="PyTorch is an extra: [train]")
    network = CATALOG[name]
    weights = models.get_model_weights(name)[network.weights]
    assert network.url == weights.url
    assert network.megabytes == pytest.approx(weights.meta["_file_size"], abs=0.06)
    ((data, figures),) = weights.meta["_metrics"].items()
    key = {"top_1": "acc@1", "map_50_95": "box_map", "miou": "miou"}[network.figure_name]
    assert network.figure == pytest.approx(figures[key] / 100, abs=1e-5)
    assert network.measured_on.replace(" ", "-").startswith(data.removesuffix("-VOC-labels"))
    assert len(network.sha256) >= 8 and set(network.sha256) <= set("0123456789abcdef")


def test_all_families_are_there() -> None:
    tasks = [network.task for network in CATALOG.values()]
    assert [tasks.count(task) for task in ("detection", "segmentation", "classification")] == [
        12,
        6,
        35,
    ]


@pytest.mark.parametrize("name", ["fastestdet", "ultraface"])
def test_described_networks_have_the_hash_of_their_bundle(name: str) -> None:
    network = CATALOG[name]
    described = read_yaml(find_bundle(name))
    assert network.sha256 == described["model"]["sha256"]
    assert network.licence == described["licence"]
    assert network.file_name in described["source"]
    assert not network.weights


def test_unknown_names() -> None:
    with pytest.raises(ModelError, match=r"named 'resnet81' is known: did you mean resnet18\?"):
        find_published("resnet81")
    with pytest.raises(ModelError, match=r"named 'zzz' is known: see .*models list --available"):
        find_published("zzz")
    assert find_published("resnet18").file_name == "resnet18-f37072fd.pth"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("figure: 0.5", "figure: 50", r"networks\.tiny\.figure = 50: give a number from 0 to 1"),
        ("file: ", "flie: ", r"unknown key .*tiny\.flie: did you mean file\?"),
        ("networks: {tiny", "networks: [tiny", "not valid YAML"),
        ("task: detection", "task: driving", r"task = 'driving': choose one of detection, segm"),
        ("task: detection", "", r"the key groups\[0\]\.task is missing"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (
        "groups:\n- task: detection\n  licence: MIT\n  measured_on: nothing\n  figure: top_1\n"
        "  url: http://127.0.0.1/\n"
        "  networks: {tiny: {file: tiny-0123abcd.onnx, megabytes: 1, figure: 0.5}}\n"
    )
    file = tmp_path / "catalog.yaml"
    file.write_text(text, encoding="utf-8")
    tiny = read_catalog(file)["tiny"]
    assert (tiny.url, tiny.sha256) == ("http://127.0.0.1/tiny-0123abcd.onnx", "0123abcd")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        read_catalog(file)
    assert "\n" not in str(caught.value)
