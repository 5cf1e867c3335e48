"""Giving a network to a bundle that only describes it."""

from __future__ import annotations

import shutil
from pathlib import Path

from cnn_perception.errors import ModelError
from cnn_perception.runtime.bundle import file_digest
from cnn_perception.runtime.locate import BUNDLE_FILE, find_bundle, user_models
from cnn_perception.settings.files import read_yaml

__all__ = ["add_network"]


def add_network(name: str, network: Path) -> Path:
    """Copy a bundle and its network into the user's own folder; returns the copy's folder.

    There the bundle wins over the one that came with the package. Raises ModelError when the
    network is not the one that the bundle's sha256 records, before anything is copied.
    """
    source = find_bundle(name)
    target = user_models() / source.parent.name
    content = read_yaml(source, ModelError)
    model = content.get("model") if isinstance(content, dict) else None
    entry = model if isinstance(model, dict) else {}
    file = Path(str(entry.get("file", "model.onnx")))
    if file.is_absolute() or ".." in file.parts:
        raise ModelError(f"{source}: model.file = {str(file)!r}: put the network there yourself")
    try:
        actual = file_digest(network)
        expected = str(entry.get("sha256") or actual).lower()
        if actual != expected:
            raise ModelError(
                f"{network} has sha256 {actual} but {source} records {expected}: fetch the "
                f"network from {content.get('source', 'its authors')}"
            )
        if target.resolve() != source.parent.resolve():
            shutil.copytree(source.parent, target, dirs_exist_ok=True)
            (target / source.name).rename(target / BUNDLE_FILE)
        destination = target / file
        destination.parent.mkdir(parents=True, exist_ok=True)
        if destination.resolve() != network.resolve():
            shutil.copyfile(network, destination)
    except (OSError, shutil.Error) as error:
        raise ModelError(f"{network} cannot be copied to {target}: {error}") from error
    return target
