"""Networks of a checkpoint in PyTorch, as functions of arrays: what bundles are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cnn_perception.errors import ModelError
from cnn_perception.formats.mask_index import MaskIndexFormat
from cnn_perception.offboard.export.segmenter import MaskIndex
from cnn_perception.offboard.networks.rooms import RoomsNetwork
from cnn_perception.offboard.training.checkpoint import Checkpoint
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Session

__all__ = ["eager_network"]


def eager_network(
    checkpoint: Checkpoint, bundle: ModelBundle
) -> Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]:
    """Return the network of a bundle that was exported from a checkpoint, as PyTorch runs it.

    It takes float32 (1, 3, height, width) and returns the bundle's output tensors by name, on one
    thread. Raises ModelError for a bundle of another task.
    """
    network = checkpoint.network
    if isinstance(network, RoomsNetwork):
        rooms = {"detection": network.detector, "segmentation": network.segmenter}
        if bundle.task in rooms:
            network = rooms[bundle.task]()
    if network is checkpoint.network and bundle.task != checkpoint.plan.task:
        raise ModelError(f"{bundle.file} is for {bundle.task}, the checkpoint is not: give another")
    names = list(bundle.output.tensors.values())
    if isinstance(bundle.output, MaskIndexFormat):
        network = _mask_index(network, bundle)
    network.eval()
    torch.set_num_threads(1)

    def run(image: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        with torch.inference_mode():
            answer = network(torch.from_numpy(image))
        values = answer if isinstance(answer, tuple) else (answer,)
        return {name: value.numpy() for name, value in zip(names, values, strict=False)}

    return run


def _mask_index(network: nn.Module, bundle: ModelBundle) -> MaskIndex:
    """Return the network with the enlargement that the bundle's labels show."""
    (mask,) = Session(bundle).outputs
    spec = bundle.input
    with torch.inference_mode():
        logits = network.eval()(torch.zeros(1, 3, spec.height, spec.width))
    return MaskIndex(network, int(mask.shape[1] or 0) // int(logits.shape[2])).eval()
