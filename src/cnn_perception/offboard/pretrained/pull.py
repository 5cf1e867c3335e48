"""A published network, from its address to a bundle that runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cnn_perception.errors import ModelError
from cnn_perception.image.codec import decode_compressed
from cnn_perception.image.preprocess import Preprocessor
from cnn_perception.offboard.pretrained.catalog import Published
from cnn_perception.offboard.pretrained.download import (
    Progress,
    cache_folder,
    check_digest,
    download,
)
from cnn_perception.resources import share_directory
from cnn_perception.runtime.bundle import list_bundles, load_bundle
from cnn_perception.runtime.inference import Session
from cnn_perception.runtime.install import add_network
from cnn_perception.runtime.locate import user_models
from cnn_perception.types import UInt8Array

__all__ = ["check_pictures", "installed", "pull", "run_once"]

_EXPORTERS = ("torch", "torchvision", "onnx", "onnxscript")


def installed(name: str) -> Path | None:
    """Return the folder of a bundle that is here and can be used, or None."""
    file = list_bundles().get(name)
    if file is None:
        return None
    try:
        return load_bundle(file).file.parent
    except ModelError:
        return None


def pull(
    published: Published,
    pictures: Sequence[UInt8Array],
    *,
    file: Path | None = None,
    size: tuple[int, int] | None = None,
    explain: bool = True,
    progress: Progress = lambda done, total: None,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Make a bundle of a published network in the user's own folder; return its folder.

    pictures: see `check_pictures`. file: the weights, where they need no download. size: width and
    height of the input instead of the usual. explain: with explain graphs, where it is exported.
    tell: called with what is being done. Raises ModelError with nothing changed but for the kept
    download.
    """
    missing = [name for name in _EXPORTERS if find_spec(name) is None]
    if published.weights and missing:
        raise ModelError(
            f"{published.name} is made from weights of PyTorch, which needs {', '.join(missing)}: "
            "install cnn_perception with the [train] extra, or pull on another machine and copy "
            "the folder"
        )
    if file is None:
        tell(f"fetching {published.url}")
        file = download(published.url, published.sha256, cache_folder(), progress=progress)
    else:
        remedy = f"give the file of {published.url}"
        check_digest(file, published.sha256, remedy)
    if not published.weights:
        return add_network(published.name, file)
    from cnn_perception.offboard.pretrained.bundles import write_published
    from cnn_perception.offboard.pretrained.weights import load_network

    tell("exporting, and comparing with PyTorch: a minute or several")
    folder = user_models() / published.name
    network = load_network(published, file)
    write_published(published, network, folder, pictures, size, explain=explain)
    return folder


def check_pictures() -> list[UInt8Array]:
    """Return RGB pictures on which an export is proven where there are no better ones.

    They are a simulated room, with furniture, things and a person, its mirror image, and its lower
    left quarter.
    """
    room = decode_compressed((share_directory() / "models" / "room.jpg").read_bytes(), "jpeg")
    height, width = room.shape[:2]
    corner = room[height // 2 :, : width // 2]
    return [room, np.ascontiguousarray(room[:, ::-1]), np.ascontiguousarray(corner)]


def run_once(folder: Path, picture: UInt8Array) -> float:
    """Load a bundle as a robot does, run it on a picture, and return the milliseconds it took."""
    bundle = load_bundle(folder)
    session = Session(bundle)
    tensor, _ = Preprocessor(bundle.input)(picture)
    start = time.perf_counter()
    session.run({bundle.input.name: tensor})
    return (time.perf_counter() - start) * 1e3
