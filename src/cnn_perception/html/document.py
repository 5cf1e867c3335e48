"""From a template to a page: everything is escaped, pictures are part of the text."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.types import UInt8Array

__all__ = ["jpeg_uri", "png_uri", "render"]


_ENVIRONMENT = Environment(
    autoescape=True, undefined=StrictUndefined, loader=PackageLoader("cnn_perception", "")
)


def render(template: str, **values: Any) -> str:
    """Return a template as HTML; values are escaped, and missing ones are an error.

    template: a jinja2 file by its path below ``cnn_perception``, ``demo/page.html.jinja`` say. It
    takes in styles, scripts and macros by such paths too.
    """
    return _ENVIRONMENT.get_template(template).render(**values)


def jpeg_uri(picture: UInt8Array, quality: int = 85) -> str:
    """Return an RGB uint8 (H, W, 3) picture as a data URI of a JPEG."""
    return _uri("jpeg", encode_jpeg(picture, quality))


def png_uri(picture: UInt8Array) -> str:
    """Return an RGB uint8 (H, W, 3) picture as a data URI of a PNG."""
    return _uri("png", encode_png(picture, 9))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
