"""Where model bundles lie: the search path."""

from __future__ import annotations

import os
from pathlib import Path

from cnn_perception.errors import ModelError
from cnn_perception.resources import share_directory
from cnn_perception.settings import nearest

__all__ = [
    "BUNDLE_FILE",
    "SEARCH_VARIABLE",
    "find_bundle",
    "list_bundles",
    "search_path",
    "user_models",
]

SEARCH_VARIABLE = "CNN_PERCEPTION_MODELS"
BUNDLE_FILE = "model.yaml"


def user_models() -> Path:
    """Return the user's own folder of bundles (XDG base directory specification)."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "cnn_perception" / "models"


def search_path() -> tuple[Path, ...]:
    """Return the folders that are searched for bundles, first match wins.

    They are those of the variable CNN_PERCEPTION_MODELS (separated by colons), the user's own
    folder, and the bundles that came with the package.
    """
    named = os.environ.get(SEARCH_VARIABLE, "").split(os.pathsep)
    folders = [Path(folder).expanduser() for folder in named if folder]
    return (*folders, user_models(), share_directory() / "models")


def list_bundles() -> dict[str, Path]:
    """Return the model.yaml of every bundle on the search path, by name, sorted.

    The name is the folder's. The files are not read: a bundle here may still fail to load.
    """
    found: dict[str, Path] = {}
    for folder in search_path():
        for file in sorted(folder.glob(f"*/{BUNDLE_FILE}")):
            found.setdefault(file.parent.name, file)
    return dict(sorted(found.items()))


def find_bundle(name_or_path: str | Path) -> Path:
    """Return the model.yaml of a bundle given by name, by folder or by file.

    A text with a slash, or that ends in .yaml or .yml, is a path. Raises ModelError when there is
    nothing there.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        path = Path(name_or_path).expanduser()
        file = path / BUNDLE_FILE if path.is_dir() else path
        if not file.is_file():
            raise ModelError(f"no model bundle at {file}: give a folder with a {BUNDLE_FILE}")
        if file.suffix not in (".yaml", ".yml"):
            raise ModelError(f"{file} is no model bundle: give the {BUNDLE_FILE} that describes it")
        return file
    bundles = list_bundles()
    if text in bundles:
        return bundles[text]
    folders = ":".join(str(folder) for folder in search_path())
    raise ModelError(f"no model bundle named {text!r} in {folders}: {nearest(text, bundles)}")
