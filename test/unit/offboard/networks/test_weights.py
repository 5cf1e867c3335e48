"""Starting weights: what loads, what is told, and what goes wrong in one line."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import nn  # noqa: E402
from torchvision.models import ResNet18_Weights  # noqa: E402

from cnn_perception.errors import ModelError  # noqa: E402
from cnn_perception.offboard.networks.weights import load_best, load_fitting, read_weights  # noqa: E402


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 4))


def test_what_fits_is_loaded_and_the_rest_is_told() -> None:
    ours, theirs = network(), network()
    state = theirs.state_dict()
    state["2.weight"] = torch.zeros(5, 3)
    state["2.bias"] = torch.full((4,), torch.nan)
    state["3.weight"] = torch.zeros(1)
    del state["1.bias"]
    before = ours[2].bias.detach().clone()
    fit = load_fitting(ours, state)
    assert torch.equal(ours[0].weight, theirs[0].weight)
    assert torch.equal(ours[2].bias, before)
    assert fit.missing == ("1.bias",)
    assert fit.unfit == ("2.weight", "2.bias")
    assert fit.unknown == ("3.weight",)
    assert str(fit) == (
        "6 tensors loaded; not in the file: 1.bias; "
        "of another shape or not finite: 2.weight, 2.bias; not in the network: 3.weight"
    )


def test_weights_go_where_their_names_are(caplog: pytest.LogCaptureFixture) -> None:
    whole = nn.ModuleDict({"trunk": network()})
    trunk = whole["trunk"]
    other = network()
    with caplog.at_level("INFO"):
        assert load_best("net", (whole, trunk), other.state_dict(), "file") is trunk
    assert torch.equal(trunk[0].weight, other[0].weight)
    assert "net from weights = 'file': 9 tensors loaded" in caplog.text
    named = {f"trunk.{name}": x for name, x in network().state_dict().items()}
    assert load_best("net", (whole, trunk), named, "file") is whole
    assert torch.equal(trunk[0].weight, named["trunk.0.weight"])
    with pytest.raises(ModelError, match=r"'file': nothing in it fits net .*in the network: a\)"):
        load_best("net", (whole, trunk), {"a": torch.zeros(1)}, "file")


def test_counters_of_batches_are_no_weights() -> None:
    wide = {"0.weight": torch.zeros(9, 2), "1.num_batches_tracked": torch.tensor(7)}
    with pytest.raises(ModelError, match=r"1 tensors loaded.* of another shape .*: 0\.weight"):
        load_best("net", (network(),), wide, "file")


def test_files(tmp_path: Path) -> None:
    state = network().state_dict()
    path = tmp_path / "net.pth"
    torch.save(state, path)
    read = read_weights(str(path), "")
    assert read is not None and torch.equal(read["0.weight"], state["0.weight"])
    torch.save({"model": state, "epoch": 3}, path)
    assert set(read_weights(str(path), "") or {}) == set(state)
    assert read_weights("none", "") is None


@pytest.mark.parametrize("content", [b"", b"not a file of torch", None])
def test_files_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "net.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.pth.*give none, imagenet or the path") as caught:
        read_weights(str(path), "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {3: torch.zeros(1)}])
def test_files_of_something_else(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="holds no state dict"):
        read_weights(str(tmp_path / "net.pth"), "")


def test_a_machine_without_internet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(ModelError, match=r"Name or service.*another machine and give") as caught:
        read_weights("imagenet", "ResNet18_Weights.IMAGENET1K_V1")
    assert ResNet18_Weights.IMAGENET1K_V1.url in str(caught.value)


def test_downloads_are_kept_and_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = network().state_dict()
    calls = []

    def download(url: str, **_: object) -> object:
        calls.append(url)
        return state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    read = read_weights("imagenet", "ResNet18_Weights.IMAGENET1K_V1")
    assert read is state and calls == [ResNet18_Weights.IMAGENET1K_V1.url]
