"""``mask_index``: the network chooses the class of each pixel itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cnn_perception.errors import ModelError
from cnn_perception.formats.format import Expected, Mask, SegmentationFormat, Tensors

if TYPE_CHECKING:
    from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["MaskIndexFormat"]


@dataclass(frozen=True, eq=False)
class MaskIndexFormat(SegmentationFormat):
    """Class ids, which are only resized."""

    name: ClassVar[str] = "mask_index"
    roles: ClassVar[tuple[str, ...]] = ("mask_index",)

    def expected(self, labels: int) -> Mapping[str, Expected]:
        """Return (1, h, w) integers."""
        return {"mask_index": Expected((1, "h", "w"), ("uint8", "uint16", "int32", "int64"))}

    def mask(self, tensors: Tensors, bundle: ModelBundle) -> Mask:
        """Return the class ids as they are."""
        mask: Mask = tensors["mask_index"]
        for extreme in (int(mask.min()), int(mask.max())):
            if not 0 <= extreme < len(bundle.labels):
                raise ModelError(
                    f"{bundle.file}: the network answers class {extreme} but labels has "
                    f"{len(bundle.labels)} entries: complete them"
                )
        return mask
