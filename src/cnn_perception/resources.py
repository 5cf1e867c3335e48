"""Where the package's own files lie: models, configuration, message definitions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cnn_perception.errors import PerceptionError

__all__ = ["demo_drive", "share_directory"]


@cache
def share_directory() -> Path:
    """Return the folder that holds ``models/``, ``config/``, ``launch/`` and ``interfaces/``.

    That is ``share/cnn_perception`` of the install prefix, or the source tree when the package runs
    from there (editable and symlink installs). No environment variable is needed.
    """
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "share" / "cnn_perception", parent):
            if (folder / "package.xml").is_file() and (folder / "models").is_dir():
                return folder
    raise PerceptionError(
        f"no share folder of cnn_perception above {Path(__file__).parent}: "
        "install the package with colcon or 'pip install -e .'"
    )


def demo_drive() -> Path:
    """Return the shipped drive; raises PerceptionError where it is not."""
    for folder in Path(__file__).resolve().parents:
        bag = folder / "data" / "demo_drive"
        if (bag / "metadata.yaml").is_file():
            return bag
    raise PerceptionError(
        "the shipped drive data/demo_drive is not here: run this from a clone of the repository, "
        "or give a bag with an RGB-D camera and /tf"
    )
