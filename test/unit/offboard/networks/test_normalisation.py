"""Pixels reach a network in training as they do on a robot."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.image.preprocess import InputSpec, Preprocessor  # noqa: E402
from cnn_perception.offboard.networks.normalisation import (  # noqa: E402
    CAFFE,
    CENTRED,
    IMAGENET,
    Normalisation,
    normalise,
)


@pytest.mark.parametrize("normalisation", [IMAGENET, CAFFE, CENTRED])
def test_training_sees_what_a_robot_sees(normalisation: Normalisation) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3)).astype(np.uint8)
    preprocess = Preprocessor(InputSpec("images", 8, 6, "rgb", "stretch", *normalisation))
    wanted = np.concatenate([preprocess(image)[0].copy() for image in images])
    found = normalise(torch.from_numpy(images), normalisation)
    torch.testing.assert_close(found, torch.from_numpy(wanted), atol=1e-4, rtol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
