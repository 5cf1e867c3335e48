"""Draw the pictures of explain.md, with the shipped networks: python docs/draw_explain.py

Explained is why rooms_fcn sees a chair in models/room.jpg. CAM wants a classifier that averages its
last maps: it is given one that answers with the averages of the masks' logits. The pictures that
become points are the objects of the shipped drive, cut out.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from torch import nn

from cnn_perception.cli.explain_methods import Request, look_into
from cnn_perception.cli.inputs import Source
from cnn_perception.cli.invert_runs import Order, carry_out
from cnn_perception.explain.registry import Method, Shows
from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.image.key import draw_key
from cnn_perception.messages.decode import decode_color
from cnn_perception.offboard.explain_methods.bundle import open_bundle
from cnn_perception.offboard.explain_methods.image_optimisation import ImageOptimisationConfig
from cnn_perception.offboard.explain_methods.network import OpenNetwork
from cnn_perception.offboard.explain_methods.shown import GRADIENT, look, show
from cnn_perception.offboard.networks.onnx_network import OnnxNetwork
from cnn_perception.recording.bag import BagReader
from cnn_perception.resources import demo_drive, share_directory
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.types import UInt8Array

IMAGES = Path(__file__).resolve().parent / "images"
ROOM = share_directory() / "models" / "room.jpg"
CLASS = "chair"
LAST_MAPS = "hardtanh_41"  # of rooms_fcn, above them is one convolution of a pixel
FEATURES = "hardtanh_26"  # of rooms_ssdlite, a sixteenth of its input
DEPTHS = ("hardtanh_4", "hardtanh_12", "hardtanh_26", "hardtanh_41")
SIZE = (320, 240)
ALPHA = 0.7
MAPS, ROW = 20, 22
QUALITY = 80
COLOR, TRUTH = "/camera/color/image_raw/compressed", "/ground_truth/detections"
EVERY = 2  # frame of the drive
STEPS, CLIMB = 200, 600
STYLE, STYLE_WEIGHT = IMAGES / "semantic_map.jpg", 10.0
NARROWEST = 24  # object, pixels


def main() -> None:
    """Write all pictures."""
    masks, boxes = load_bundle("rooms_fcn"), load_bundle("rooms_ssdlite")
    opened, averaging = open_bundle(masks), averages(masks)
    for method in Method.of_one_picture():
        draw(method, averaging if method is Method.cam else opened)
    with TemporaryDirectory() as folder:
        out = Path(folder)
        look_into(Request([ROOM], out, opened, [Method.gradcam], DEPTHS, CLASS, ALPHA))
        save("explain_depth", read(out / "room.explanations.jpg"))
        cut_out(out / "objects")
        both = [Method.pca, Method.tsne]
        look_into(Request([out / "objects"], out, open_bundle(boxes), both, [FEATURES]))
        for method in both:
            save(f"explain_{method.value}", scaled(read(out / f"{method.value}.png"), 0.7))
        climb = [Method.maximisation]
        look_into(Request([], out, opened, climb, target=CLASS, steps=CLIMB))
        save("explain_maximisation", read(out / "rooms_fcn.maximisation.png"))
        for style, name, smoothness in ((None, "invert", 1.0), (STYLE, "style", 0.1)):
            config = ImageOptimisationConfig(steps=STEPS, tv=smoothness)
            order = Order(ROOM, style, STYLE_WEIGHT, False, [], [config])
            carry_out(order, opened, out, print_json=False)
            save(f"explain_{name}", scaled(read(out / f"room.{name}.table.png"), 0.6))


def draw(method: Method, opened: OpenNetwork) -> None:
    """Draw what one method shows."""
    rgb = cv2.resize(read(ROOM), SIZE, interpolation=cv2.INTER_AREA)
    seen = look(opened, rgb, opened.class_id(CLASS))
    shown = show(method, opened, seen, "", ALPHA, MAPS)
    picture, key = shown.picture, shown.key
    if "gradient" in shown.maps:
        picture, key = shown.maps["gradient"], GRADIENT
    if method.shows is Shows.SHEET:
        picture = scaled(picture, min(SIZE[0] / picture.shape[1], SIZE[1] / picture.shape[0]))
        # The words stand below, so that they hide nothing.
        room = ((0, ROW), (0, SIZE[0] - picture.shape[1]), (0, 0))
        picture, words = np.pad(picture, room, constant_values=32), shown.layer
    else:
        words = f"{seen.label}, {shown.layer}".removesuffix(", ")
    save(f"explain_{method.value.replace('++', '_plus_plus')}", draw_key(picture, words, key))


def averages(bundle: ModelBundle) -> OpenNetwork:
    """Return the classifier that answers with the mean of each label's logits."""
    masks = open_bundle(bundle)
    last = masks.network.get_submodule("mask_logits")
    logits = nn.Linear(last.in_channels, last.out_channels)
    logits.weight.data, logits.bias.data = last.weight[:, :, 0, 0], last.bias
    parts = {
        "last_maps": OnnxNetwork(bundle.model, [LAST_MAPS]),
        "means": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "logits": logits,
    }
    network = nn.Sequential(OrderedDict(parts)).eval()
    return OpenNetwork("averages", network, masks.spec, masks.labels)


def cut_out(folder: Path) -> None:
    """Cut the objects out of the shipped drive, into a folder per class."""
    counts = Counter[str]()
    frames = 0
    with BagReader(demo_drive()) as bag:
        rgb = None
        for received in bag.messages([COLOR, TRUTH]):
            if received.topic == COLOR:
                rgb = decode_color(received.message)
                frames += 1
            elif rgb is not None and frames % EVERY == 0:
                for found in received.message.detections:
                    label = found.results[0].hypothesis.class_id
                    center, box = found.bbox.center.position, found.bbox
                    if min(box.size_x, box.size_y) < NARROWEST:
                        continue
                    left, top = center.x - box.size_x / 2, center.y - box.size_y / 2
                    part = rgb[max(round(top), 0) :, max(round(left), 0) :]
                    part = part[: round(box.size_y), : round(box.size_x)]
                    (folder / label).mkdir(parents=True, exist_ok=True)
                    file = folder / label / f"{counts[label]:03d}.png"
                    file.write_bytes(encode_png(part))
                    counts[label] += 1


def read(file: Path) -> UInt8Array:
    """Return a picture, RGB."""
    return Source(file, Path(file.stem)).picture()


def scaled(rgb: UInt8Array, scale: float) -> UInt8Array:
    """Return a picture at another size."""
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=way), np.uint8)


def save(name: str, rgb: UInt8Array) -> None:
    """Write one picture of the page."""
    file = IMAGES / f"{name}.jpg"
    file.write_bytes(encode_jpeg(rgb, QUALITY))
    print(f"{file.name}: {file.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
