"""Networks opened by name: weights, labels, pictures, and what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytest.importorskip("pytorch_grad_cam", reason="grad-cam is an extra: [oracle]")

from pytorch_grad_cam import GradCAM  # noqa: E402
from pytorch_grad_cam.utils.image import scale_cam_image  # noqa: E402
from torch import Tensor  # noqa: E402
from torchvision.models import get_model  # noqa: E402

from cnn_perception.errors import ConfigError, ModelError  # noqa: E402
from cnn_perception.offboard.explain_methods.grad_cam import grad_cam  # noqa: E402
from cnn_perception.offboard.explain_methods.network import open_network, randomise  # noqa: E402
from cnn_perception.offboard.explain_methods.targets import best_class, class_target  # noqa: E402

NAME = "squeezenet1_1"
PICTURE = np.random.default_rng(4).integers(0, 256, (90, 120, 3), np.uint8)


def test_random_weights_are_always_the_same_and_lively() -> None:
    before = torch.random.get_rng_state()
    opened = open_network(NAME)
    assert torch.equal(torch.random.get_rng_state(), before)
    again = open_network(NAME).network.state_dict()
    assert all(torch.equal(again[key], x) for key, x in opened.network.state_dict().items())
    images, _ = opened.prepare(PICTURE)
    with torch.no_grad():
        logits = opened.network(images)
    assert not opened.network.training
    assert float(logits.std()) > 0.1
    assert opened.label(207) == "golden retriever"
    assert opened.class_id("golden retriever") == 207
    assert (opened.class_id("12"), opened.class_id("")) == (12, None)


def test_batch_norms_are_calibrated_and_keep_their_momentum() -> None:
    network = get_model("resnet18", weights=None, num_classes=3)
    randomise(network, torch.Size((2, 3, 64, 64)))
    assert network.bn1.momentum == 0.1
    assert not torch.equal(network.bn1.running_var, torch.ones(64))
    assert not any(module.training for module in network.modules())


def test_a_file_of_weights_says_how_many_classes_there_are(tmp_path: Path) -> None:
    trained = get_model(NAME, weights=None, num_classes=7).eval()
    file = tmp_path / "seven.pt"
    torch.save(trained.state_dict(), file)
    opened = open_network(NAME, str(file))
    images, placement = opened.prepare(PICTURE)
    assert (tuple(images.shape), placement.cut) == ((1, 3, 224, 224), (20, 5, 79, 79))
    with torch.no_grad():
        torch.testing.assert_close(opened.network(images), trained(images))
    assert opened.label(3) == "class 3"
    with pytest.raises(ConfigError, match=f"'dog' is no class of {NAME}: choose one, as a number"):
        opened.class_id("dog")


def test_a_file_that_leaves_a_part_random_is_refused(tmp_path: Path) -> None:
    state = get_model(NAME, weights=None, num_classes=7).state_dict()
    del state["features.3.squeeze.bias"]
    torch.save(state, tmp_path / "part.pt")
    with pytest.raises(ModelError, match=r"does not fill features\.3\.squeeze\.bias of shape"):
        open_network(NAME, str(tmp_path / "part.pt"))


def test_names_that_are_none() -> None:
    with pytest.raises(ConfigError, match=r"network = 'resnet19' is unknown: .*resnet18"):
        open_network("resnet19")
    with pytest.raises(ConfigError, match=r"'retriever' is no class .* golden retriever"):
        open_network(NAME).class_id("retriever")
    with pytest.raises(ModelError, match=r"nothing\.pt"):
        open_network(NAME, "nothing.pt")
    with pytest.raises(ConfigError, match="would have a random head"):
        open_network("ssdlite320_mobilenet_v3_large", "imagenet")


def test_a_detector_is_explained_as_by_pytorch_grad_cam() -> None:
    opened = open_network("ssdlite320_mobilenet_v3_large")
    images, _ = opened.prepare(PICTURE)
    layer = "backbone.features.0"
    with torch.no_grad():
        answer = opened.network(images)
    class_id, score = best_class(answer)
    scores = answer.class_logits[0].softmax(1)[:, class_id + 1]
    assert score == pytest.approx(float(scores.max()))
    best = int(scores.argmax())

    def logit(class_logits: Tensor) -> Tensor:
        return class_logits[0, best, class_id + 1]

    with GradCAM(opened.network, [opened.network.get_submodule(layer)]) as cam:
        (expected,) = cam(images, [logit])
    found = grad_cam(opened.network, layer, images, class_target(class_id))
    (scaled,) = scale_cam_image(scale_cam_image(found[None], (320, 320)))
    assert expected.max() > 0.5, "nothing to compare"
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_pictures_of_another_size_and_back() -> None:
    opened = open_network(NAME).of_size(56)
    images, placement = opened.prepare(PICTURE)
    assert tuple(images.shape) == (1, 3, 56, 56)
    whole = open_network(NAME).prepare(PICTURE)[1]
    assert placement.cut == whole.cut
    cropped = PICTURE[5:84, 20:99]
    expected = cv2.resize(cropped, (56, 56), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(opened.picture(images), expected)
    low, high = opened.limits()
    assert bool((images >= low).all() and (images <= high).all())
    black = np.zeros_like(PICTURE)
    assert torch.equal(opened.prepare(black)[0], low.expand(1, 3, 56, 56))
    assert (opened.picture(1.01 * high.expand(1, 3, 56, 56)) == 255).all()


def test_colors_of_a_network_that_reads_blue_first() -> None:
    opened = open_network("lenet5")
    mean = (10.0, 20.0, 30.0)
    opened = replace(opened, spec=replace(opened.spec, channels="bgr", mean=mean))
    images, _ = opened.prepare(PICTURE)
    expected = replace(opened, spec=replace(opened.spec, channels="rgb")).prepare(PICTURE)[0]
    assert not torch.equal(images, expected)
    same = open_network("lenet5")
    np.testing.assert_array_equal(opened.picture(images), same.picture(same.prepare(PICTURE)[0]))


def test_a_size_that_a_network_cannot_take() -> None:
    with pytest.raises(ConfigError, match="size = 31: lenet5 cannot take images of 31x31, its own"):
        open_network("lenet5").of_size(31)
