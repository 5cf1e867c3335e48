"""From a template to a page: everything is escaped, pictures are part of the text."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.pages.plot import PLOT
from cnn_perception.pages.style import STYLE
from cnn_perception.types import UInt8Array

__all__ = ["jpeg_uri", "png_uri", "render"]


def render(template: str, **values: Any) -> str:
    """Return a jinja2 template as HTML; values are escaped, and missing ones are an error.

    It may include ``style.css`` and import ``plot.html`` (see `plot.PLOT`).
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=DictLoader({"style.css": STYLE, "plot.html": PLOT}),
    )
    return environment.from_string(template).render(**values)


def jpeg_uri(picture: UInt8Array, quality: int = 85) -> str:
    """Return an RGB uint8 (H, W, 3) picture as a data URI of a JPEG."""
    return _uri("jpeg", encode_jpeg(picture, quality))


def png_uri(picture: UInt8Array) -> str:
    """Return an RGB uint8 (H, W, 3) picture as a data URI of a PNG."""
    return _uri("png", encode_png(picture, 9))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
