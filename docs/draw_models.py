"""Show on real pictures what the shipped networks see, beside FastestDet:

    python docs/draw_models.py --out FOLDER PICTURES...

FastestDet must be installed (`cnn-perception models add fastestdet FastestDet.onnx`). Every picture
becomes a sheet: rooms_ssdlite, rooms_fcn, FastestDet. The objects that docs/real_objects.yaml names
on a picture are counted. A detector has found one with a box of its class and an IoU of 0.5;
rooms_fcn, when a third of the object's box has its label. All else that a detector answers, of the
classes that it shares with rooms, is false.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import yaml

from cnn_perception.detection.detector import Detector
from cnn_perception.image.draw import blend_mask, draw_caption, draw_detections
from cnn_perception.metrics.matching import pairwise_iou
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.segmentation.segmenter import Segmenter
from cnn_perception.types import Detections, Float32Array, UInt8Array

TRUTH = Path(__file__).resolve().parent / "real_objects.yaml"
# What COCO's 80 classes call the classes of rooms that it has too.
NAMES = {"diningtable": "table", "sports ball": "ball", "pottedplant": "plant"}
SHARED = ("chair", "table", "ball", "bottle", "cup", "plant", "person")
LEAST_IOU = 0.5
HEIGHT = 300  # of a panel, pixels


@dataclass
class Tally:
    """How many objects there are, and how many each network finds; what it sees besides."""

    there: Counter[str] = field(default_factory=Counter)
    found: dict[str, Counter[str]] = field(default_factory=dict)
    false: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, network: str, found: Counter[str], false: Counter[str]) -> None:
        self.found.setdefault(network, Counter()).update(found)
        self.false.setdefault(network, Counter()).update(false)

    def table(self) -> str:
        """Return what was counted as a Markdown table."""
        networks = list(self.found)
        lines = [f"| | there | {' | '.join(networks)} |", "|---|" + "---|" * (1 + len(networks))]
        for label in SHARED:
            if self.there[label]:
                cells = (str(self.found[network][label]) for network in networks)
                lines.append(f"| {label} | {self.there[label]} | {' | '.join(cells)} |")
        cells = (_listed(self.false[network]) for network in networks)
        lines.append(f"| other boxes | | {' | '.join(cells)} |")
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    truth = yaml.safe_load(TRUTH.read_text(encoding="utf-8"))
    rooms, coco = (Detector(load_bundle(name)) for name in ("rooms_ssdlite", "fastestdet"))
    segmenter = Segmenter(load_bundle("rooms_fcn"))
    tally = Tally()
    for path in chosen.pictures:
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        mask = segmenter.segment(picture)
        seen = {"rooms_ssdlite": rooms.detect(picture), "FastestDet": coco.detect(picture)}
        panels = [
            draw_detections(picture, seen["rooms_ssdlite"], rooms.labels, rooms.bundle.palette),
            blend_mask(picture, mask, segmenter.palette, 0.6),
            draw_detections(picture, seen["FastestDet"], coco.labels),
        ]
        names = ("rooms_ssdlite", "rooms_fcn", "FastestDet")
        sheet = np.hstack([panel(*pair) for pair in zip(panels, names, strict=True)])
        file = str(chosen.out / f"{path.stem}.jpg")
        cv2.imwrite(file, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
        if path.name in truth:
            objects = truth[path.name]
            tally.there.update(label for label, *_ in objects)
            for network, detector in (("rooms_ssdlite", rooms), ("FastestDet", coco)):
                labels = [NAMES.get(label, label) for label in detector.labels]
                known = set(SHARED) if detector is coco else set(labels)
                tally.add(network, *judge(objects, seen[network], labels, known))
            tally.add("rooms_fcn", labelled(objects, mask, segmenter.labels), Counter())
    print(tally.table())


def panel(picture: UInt8Array, caption: str) -> UInt8Array:
    """Return a picture at the height of a sheet, with its caption."""
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    return draw_caption(cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA), caption)


def judge(
    objects: list[list[object]], answer: Detections, labels: list[str], known: set[str]
) -> tuple[Counter[str], Counter[str]]:
    """Return how many objects are found, and what of the known classes is seen besides."""
    found, false = Counter[str](), Counter[str]()
    free = list(range(len(objects)))
    for box, class_id in zip(answer.boxes, answer.class_ids, strict=True):
        label = labels[class_id]
        if label not in known:
            continue
        hits = [i for i in free if objects[i][0] == label and iou(box, objects[i]) >= LEAST_IOU]
        if hits:
            free.remove(max(hits, key=lambda i: iou(box, objects[i])))
            found[label] += 1
        else:
            false[label] += 1
    return found, false


def iou(box: Float32Array, thing: list[object]) -> float:
    """Return the overlap of a box with an object."""
    corners = np.array([thing[1:]], np.float32)
    return float(pairwise_iou(box[None], corners)[0, 0])


def labelled(
    objects: list[list[object]], mask: UInt8Array, labels: tuple[str, ...]
) -> Counter[str]:
    """Return how many objects have their label on a third of their box."""
    result = Counter[str]()
    for label, x0, y0, x1, y1 in objects:
        area = mask[y0:y1, x0:x1]  # type: ignore[misc]
        if (area == labels.index(str(label))).mean() >= 1 / 3:
            result[str(label)] += 1
    return result


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "-"


if __name__ == "__main__":
    main()
