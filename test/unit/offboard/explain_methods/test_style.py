"""Textures and style: Gram matrices by hand, and what a texture does not tell."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torchvision.models import get_model  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.features import (  # noqa: E402
    features,
    gram_matrices,
    relative_distance,
)
from cnn_perception.offboard.explain_methods.image_optimisation import ImageOptimisationConfig  # noqa: E402
from cnn_perception.offboard.explain_methods.style import (  # noqa: E402
    style_layers,
    synthesise_texture,
    transfer_style,
)
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402

QUICK = ImageOptimisationConfig(steps=5)
RELUS = ["2", "6", "9"]


def test_a_gram_matrix_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]]])
    (gram,) = gram_matrices([maps])
    assert gram.tolist() == [[30 / 4, -2 / 4], [-2 / 4, 2 / 4]]
    (wide,) = gram_matrices([maps.repeat(1, 1, 1, 3)])
    assert wide.tolist() == gram.tolist()
    with pytest.raises(ConfigError, match=r"answers with shape \(1, 5\), not with maps"):
        gram_matrices([torch.zeros(1, 5)])


def test_a_gram_matrix_does_not_say_where() -> None:
    maps = image()
    torch.testing.assert_close(gram_matrices([maps]), gram_matrices([maps.flip(2).roll(5, 3)]))


def _colors(x: Tensor) -> Tensor:
    """What the Gram matrix of the image itself tells: the means of squares and products."""
    return gram_matrices([x])[0]


def test_a_texture_of_pixels_has_the_colors_of_the_image_elsewhere() -> None:
    network = nn.Sequential(nn.Identity(), nn.Flatten())
    seen = image(size=8)
    found = synthesise_texture(network, ["0"], seen, ImageOptimisationConfig(steps=300, tv=0.0))
    torch.testing.assert_close(_colors(found.image), _colors(seen), atol=1e-2, rtol=0)
    assert float((found.image - seen).square().mean()) > 0.5
    assert list(found.losses) == ["style"]


def test_style_and_content_are_weighed() -> None:
    network = small_network(in_place=True)
    content, style = image(), functional.avg_pool2d(image(5), 4)  # of another size
    first = transfer_style(network, ["4"], RELUS, content, style, QUICK, weight=3.0)
    assert list(first.losses) == ["content", "style", "total variation"]
    assert first.losses["content"][0] == 0
    with torch.no_grad():
        found, wanted = (
            gram_matrices(features(network.eval(), RELUS, x)) for x in (content, style)
        )
    assert first.losses["style"][0] == pytest.approx(3 * float(relative_distance(found, wanted)))

    def ends(weight: float) -> tuple[float, float]:
        config = ImageOptimisationConfig(steps=30, rate=0.1, tv=0.0)
        result = transfer_style(network, ["4"], RELUS, content, style, config, weight=weight)
        return result.losses["content"][-1], result.losses["style"][-1] / weight

    (light_content, light_style), (heavy_content, heavy_style) = ends(0.01), ends(10.0)
    assert light_content < heavy_content and heavy_style < light_style


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("vgg11", [f"relu{k}_1" for k in range(1, 6)]),
        ("resnet18", ["relu", *(f"layer{k}.0.relu" for k in range(1, 5))]),
        ("squeezenet1_1", ["features.1", *(f"features.{k}.squeeze_activation" for k in (3, 6, 9))]),
    ],
)
def test_the_style_is_in_the_first_activation_of_each_resolution(
    name: str, layers: list[str]
) -> None:
    with torch.device("meta"):
        network = get_model(name, weights=None)
        images = torch.zeros(1, 3, 64, 64)
    assert style_layers(network, images) == layers


def test_without_activations_it_is_in_the_first_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.MaxPool2d(2), nn.Flatten())
    assert style_layers(network, image()) == ["0"]
    with pytest.raises(ConfigError, match="has no feature maps: name the layers"):
        style_layers(nn.Flatten(), image())


def test_equal_seeds_give_equal_images() -> None:
    network = small_network()
    one, again, other = (
        synthesise_texture(network, RELUS, image(), config).image
        for config in (ImageOptimisationConfig(steps=5, seed=seed) for seed in (3, 3, 4))
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_the_network_and_the_images_are_as_before() -> None:
    network, content, style = small_network(in_place=True), image(), image(3)
    network[0] = nn.Sequential(nn.ReLU(inplace=True), network[0])
    with unchanged(network):
        assert style_layers(network, content)[0] == "0.0"
        synthesise_texture(network, RELUS, style, QUICK)
        transfer_style(network, ["5"], RELUS, content, style, QUICK)
    assert torch.equal(content, image()) and torch.equal(style, image(3))
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        style_layers(network, content)
    with unchanged(network), pytest.raises(Broken):
        synthesise_texture(network, RELUS, style, QUICK)
    with unchanged(network), pytest.raises(Broken):
        transfer_style(network, ["5"], RELUS, content, style, QUICK)
