"""A bundle's folder while it is written: all of it takes its place, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cnn_perception.errors import ModelError

__all__ = ["replacing", "write_yaml"]


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` unless an error comes in between."""
    ours = (folder / "model.yaml").is_file() or not folder.exists()
    if not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder} exists and is no bundle: choose another folder")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.draft")
    old = draft.with_suffix(".old")
    try:
        draft.mkdir(parents=True)
        yield draft
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
    except ModelError as error:
        raise type(error)(str(error).replace(str(draft), str(folder))) from error
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise ModelError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_yaml(path: Path, tree: Mapping[str, Any]) -> None:
    """Write YAML with short lists on one line, keys in their given order."""
    text = yaml.safe_dump(dict(tree), sort_keys=False, default_flow_style=None, width=100)
    path.write_text(text, encoding="utf-8")
