"""``mask_index``: the network chooses the class of each pixel itself."""

from __future__ import annotations

from typing import ClassVar

from cnn_perception.errors import ModelError
from cnn_perception.formats.format import Bundle, Mask, SegmentationFormat, Tensors

__all__ = ["MaskIndexFormat"]


class MaskIndexFormat(SegmentationFormat):
    """Class ids, which are only resized."""

    name = "mask_index"
    shapes: ClassVar = {"mask_index": (1, "h", "w")}
    dtypes: ClassVar = {"mask_index": ("uint8", "uint16", "int32", "int64")}

    def mask(self, tensors: Tensors, bundle: Bundle) -> Mask:
        mask: Mask = tensors["mask_index"]
        for extreme in (int(mask.min()), int(mask.max())):
            if not 0 <= extreme < len(bundle.labels):
                raise ModelError(
                    f"{bundle.file}: the network answers class {extreme} but labels has "
                    f"{len(bundle.labels)} entries: complete them"
                )
        return mask
