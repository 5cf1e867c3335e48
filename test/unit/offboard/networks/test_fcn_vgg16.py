"""FCN on VGG16: where its pixels lie, what it starts from, and what it starts as."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torchvision.models import VGG  # noqa: E402
from torchvision.models.vgg import make_layers  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.export.onnx_file import check_onnx, write_onnx  # noqa: E402
from cnn_perception.offboard.networks.fcn_vgg16 import (  # noqa: E402
    FcnVgg16,
    bilinear_kernel,
    bilinear_upsampling,
)
from cnn_perception.offboard.training.losses import UNLABELLED, dice_loss, mask_entropy  # noqa: E402
from cnn_perception.offboard.training.transfer import begin_from  # noqa: E402

NARROW = [2, 2, "M", 3, 3, "M", 4, 4, 4, "M", 5, 5, 5, "M", 6, 6, 6, "M"]
"""VGG16's layers with fewer channels."""


def mask_loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return mask_entropy(logits, masks) + dice_loss(logits, masks)


def narrow_vgg() -> VGG:
    torch.manual_seed(1)
    with torch.device("meta"):
        network = VGG(nn.Identity(), init_weights=False)
    network.features = make_layers(NARROW)
    network.classifier = nn.Sequential(
        nn.Linear(6 * 49, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 16), nn.ReLU(), nn.Dropout()
    )
    return network


def teach_to_copy(network: FcnVgg16, share: float) -> None:
    """Make every layer pass its first channel on, and every score this share of it."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            middle = layer.kernel_size[0] // 2
            with torch.no_grad():
                layer.weight[0, 0, middle, middle] = share if name.startswith("score") else 1.0
    for index, layer in enumerate(network.features):
        if isinstance(layer, nn.MaxPool2d):
            # The mean of a cell lies at its centre, where its maximum need not.
            network.features[index] = nn.AvgPool2d(2, 2, ceil_mode=layer.ceil_mode)


@pytest.mark.parametrize(("stride", "scores"), [(32, 1), (16, 2), (8, 3)])
@pytest.mark.parametrize("size", [(384, 416), (397, 391)])
def test_every_pixel_is_labelled_where_it_is(
    stride: int, scores: int, size: tuple[int, int]
) -> None:
    # Means and bilinear interpolation keep a slope as it is. A copy that is off by one pixel, in
    # any of the maps that are added, is off by the slope.
    network = FcnVgg16(2, stride, narrow_vgg()).eval()
    teach_to_copy(network, 1 / scores)
    slope = 1000 + torch.arange(size[0])[:, None] + 2.0 * torch.arange(size[1])[None, :]
    image = torch.zeros(1, 3, *size)
    image[0, 0] = slope
    with torch.no_grad():
        labels = network(image)
    assert labels.shape == (1, 2, *size)
    # The border of zeros reaches 112 pixels into the image: 3 cells of fc6 and 1 of interpolation.
    inner = (slice(112, -144), slice(112, -144))
    torch.testing.assert_close(labels[0, 0][inner], slope[inner], atol=0.01, rtol=0.0)
    assert labels[0, 1].abs().max() == 0


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("size", [(1, 1), (31, 33), (96, 64), (130, 17)])
def test_labels_have_the_images_size(stride: int, size: tuple[int, int]) -> None:
    network = FcnVgg16(3, stride, narrow_vgg()).eval()
    with torch.no_grad():
        assert network(torch.randn(2, 3, *size)).shape == (2, 3, *size)


def test_scores_start_at_zero_and_learn_without_the_border_label() -> None:
    network = FcnVgg16(3, 8, narrow_vgg())
    images = torch.randn(1, 3, 40, 40)
    assert network(images).abs().max() == 0
    masks = torch.full((1, 40, 40), UNLABELLED)
    masks[:, 10:30] = torch.randint(0, 3, (1, 20, 40))
    mask_loss(network(images), masks).backward()
    for name in ("score_fr", "score_pool4", "score_pool3"):
        assert network.get_submodule(name).weight.grad.abs().max() > 0


def test_fc6_is_the_classifiers_layer() -> None:
    vgg = narrow_vgg()
    network = FcnVgg16(3, 32, vgg)
    x = torch.randn(1, 6, 7, 7)
    with torch.no_grad():
        wanted = vgg.classifier[3](vgg.classifier[0](x.flatten(1)).relu())
        found = network.fc7(network.fc6(x).relu())
    torch.testing.assert_close(found.flatten(1), wanted)


def test_a_finer_network_starts_as_the_coarser_one() -> None:
    # Long et al. 2015, section 4.2: scores of the finer map start at zero.
    coarse = FcnVgg16(3, 32, narrow_vgg()).eval()
    for layer in (coarse.fc6, coarse.fc7, coarse.score_fr):
        nn.init.normal_(layer.weight, std=0.1)
    fine = FcnVgg16(3, 16, narrow_vgg()).eval()
    report = fine.load_state_dict(coarse.state_dict(), strict=False)
    assert report.unexpected_keys == ["upscore32.weight"]
    assert all(key.startswith(("upscore", "score_pool4")) for key in report.missing_keys)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted, found = coarse(images), fine(images)
    # Not equal: an interpolation interpolated again is smoother.
    assert torch.corrcoef(torch.stack([wanted.flatten(), found.flatten()]))[0, 1] > 0.98
    assert wanted.std() > 1e-3


def test_stages_hand_on_what_they_learnt() -> None:
    # Section 4.2: 32s, 16s and 8s each begin with the layers of the one before.
    torch.manual_seed(0)
    images = torch.randn(1, 3, 64, 64)
    coarse = FcnVgg16(3, 32, narrow_vgg()).eval()
    for stride, new, upscores in (
        (16, "score_pool4", ["upscore2", "upscore16"]),
        (8, "score_pool3", ["upscore_pool4", "upscore8"]),
    ):
        for parameter in coarse.parameters():
            # As if it had learnt.
            nn.init.normal_(parameter, std=0.1)
        fine = FcnVgg16(3, stride, narrow_vgg()).eval()
        left = begin_from(fine, coarse.state_dict(), Path("coarse.pt"))
        assert set(left) == {f"{new}.weight", f"{new}.bias"} | {f"{x}.weight" for x in upscores}
        ours, theirs = fine.state_dict(), coarse.state_dict()
        assert all(torch.equal(ours[x], theirs[x]) for x in ours if x not in left)
        # What the finer map adds is nothing at first.
        score = fine.get_submodule(new)
        assert not score(torch.randn(1, score.in_channels, 4, 4)).any()
        assert fine(images).any()
        coarse = fine


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_transposed_convolution_starts_as_bilinear_interpolation(factor: int) -> None:
    x = torch.randn(1, 3, 5, 6)
    layer = bilinear_upsampling(3, factor)
    with torch.no_grad():
        enlarged = layer(x)
    wanted = functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    half = factor // 2
    assert enlarged.shape[2:] == (6 * factor, 7 * factor)
    found = enlarged[..., half:-half, half:-half]
    inner = (..., slice(half, -half), slice(half, -half))
    torch.testing.assert_close(found[inner], wanted[inner])
    torch.testing.assert_close(bilinear_kernel(factor).sum(), torch.tensor(float(factor**2)))


def test_exports(tmp_path) -> None:  # type: ignore[no-untyped-def]
    network = FcnVgg16(4, 8, narrow_vgg()).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    case = {"images": torch.randn(1, 3, 48, 64)}
    assert network(case["images"]).std() > 0.1
    write_onnx(network, case, ["mask_logits"], tmp_path / "model.onnx")
    assert check_onnx(network, tmp_path / "model.onnx", [case], 1e-3) <= 1e-3


def test_other_strides_are_refused() -> None:
    with pytest.raises(ConfigError, match="stride 4: choose 32, 16 or 8"):
        FcnVgg16(2, 4, narrow_vgg())
