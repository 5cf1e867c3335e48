"""Counts people in a zone of the image: a component, which a node and a replay can run."""

from dataclasses import dataclass
from typing import ClassVar

from cnn_perception import components as cp

DETECTIONS = "vision_msgs/msg/Detection2DArray"


@dataclass(frozen=True)
class ZoneConfig(cp.Config):
    label: str = cp.setting("person", "Label that is counted; empty: any", live=True)
    min_score: float = cp.setting(0.5, "Lowest score", minimum=0.0, maximum=1.0, live=True)
    left: int = cp.setting(0, "Left edge, pixels", minimum=0, maximum=65535, live=True)
    top: int = cp.setting(0, "Upper edge, pixels", minimum=0, maximum=65535, live=True)
    width: int = cp.setting(65535, "Width, pixels", minimum=1, maximum=65535, live=True)
    height: int = cp.setting(65535, "Height, pixels", minimum=1, maximum=65535, live=True)

    def holds(self, detection) -> bool:
        if not detection.results:
            raise cp.MessageError("no_hypothesis", "a detection has no class: mend the detector")
        best, place = detection.results[0].hypothesis, detection.bbox.center.position
        across, down = place.x - self.left, place.y - self.top
        wanted = best.score >= self.min_score and self.label in ("", best.class_id)
        return wanted and 0 <= across < self.width and 0 <= down < self.height


class PeopleCounter(cp.Component):
    """Publishes who is in the zone, and how many, for each Detection2DArray."""

    kind = "people_counter"
    parameters = cp.NodeParameters((ZoneConfig,))
    drop_reasons: ClassVar = {"no_hypothesis": "a detection has no class"}

    def inputs(self):
        return [cp.Input("detections", DETECTIONS, self.take)]

    def outputs(self):
        return [cp.Topic("~/people", DETECTIONS), cp.Topic("~/count", "std_msgs/msg/Int32")]

    def take(self, frame):
        zone, message = self.config(ZoneConfig), frame.message
        people = [each for each in message.detections if zone.holds(each)]
        found = self.encode.message(DETECTIONS, header=message.header, detections=people)
        yield cp.Output("~/people", found)
        yield cp.Output("~/count", self.encode.message("std_msgs/msg/Int32", data=len(people)))
        yield cp.Done(frame, len(people))
