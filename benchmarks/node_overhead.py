"""What the detector node adds to its network: frames lost, and time from publish to detection.

A second process publishes raw images at a fixed rate, as a camera driver does (best effort, depth
5); the detector node runs as a third; this one receives the detections. All over DDS, on one
machine, so that one clock serves: an image's stamp is the moment before it was published. The
node's overhead is that latency minus the median time that the network itself took, which the node
reports on /diagnostics.

    .venv/bin/python benchmarks/node_overhead.py --out node_overhead.json

Rounds of the contenders (with and without config/fastdds_large_images.xml) alternate, so that other
load on the machine meets both. Warm-up frames are sent first and not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _nodes import (
    PATIENCE_S,
    PROFILE,
    Diagnostics,
    await_order,
    camera,
    diagnostics,
    large_images_profile,
    private_domain,
    report,
    say,
)

from cnn_perception.demo.processes import NodeSpec, node_processes
from cnn_perception.offboard.benchmarks.machine import describe_machine
from cnn_perception.recording.bag import typestore
from cnn_perception.recording.compose import encode
from cnn_perception.types import Header

WARM_UP = 30
TOPIC = "/benchmark/image"

Detection = tuple[int, int]
"""Stamp of the image and time of receipt, nanoseconds."""


def main() -> None:
    """Run the benchmark, or be the publisher that it starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="rooms_ssdlite", help="model bundle of the detector")
    parser.add_argument("--frames", type=int, default=300, help="frames counted in each round")
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", default=["profile", "default"])
    parser.add_argument("--out", type=Path, help="write the result as JSON here too")
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.publish:
        publish(arguments)
        return
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.contenders}
    for index in range(arguments.rounds):
        for name in arguments.contenders:
            rounds[name].append(run_round(arguments, name, private_domain(index)))
            sys.stderr.write(f"round {index + 1} {name}: {json.dumps(rounds[name][-1])}\n")
    result = {
        "benchmark": "node_overhead",
        "machine": describe_machine(),
        "settings": {
            name: getattr(arguments, name)
            for name in ("model", "frames", "rate", "width", "height")
        },
        "contenders": {name: summary(each) for name, each in rounds.items()},
        "rounds": rounds,
    }
    report(result, arguments.out)


def run_round(
    arguments: argparse.Namespace, contender: str, environment: dict[str, str]
) -> dict[str, Any]:
    """Start node and publisher, collect the detections, end both."""
    from vision_msgs.msg import Detection2DArray

    if contender == "profile":
        environment[PROFILE] = large_images_profile()
    else:
        os.environ.pop(PROFILE, None)
    detections: list[Detection] = []

    def detected(message: Any) -> None:
        now, stamp = time.time_ns(), message.header.stamp
        detections.append((stamp.sec * 1_000_000_000 + stamp.nanosec, now))

    spec = NodeSpec("detector", {"image": TOPIC}, {"model": arguments.model})
    words = ["--publish"]
    for name in ("frames", "rate", "width", "height"):
        words += [f"--{name}", str(getattr(arguments, name))]
    with tempfile.TemporaryDirectory() as folder:
        environment["ROS_LOG_DIR"] = folder
        with (
            node_processes([spec], Path(folder), environment) as (node,),
            diagnostics(
                environment, [(Detection2DArray, "/detector/detections", detected)]
            ) as reports,
            camera(__file__, words, environment, arguments.frames / arguments.rate) as source,
        ):
            source.expect("linked", node)
            reports.wait_reports(2)
            source.go()
            first_ns = int(source.hear())
            source.expect("done", node)
            reports.wait_reports(2)
        faults = node.faults()
    if faults:
        raise SystemExit("; ".join(faults))
    return evaluate(arguments, reports, [each for each in detections if each[0] >= first_ns])


def evaluate(
    arguments: argparse.Namespace, reports: Diagnostics, detections: list[Detection]
) -> dict[str, Any]:
    """Return one round's figures; milliseconds."""
    latency = np.array([at - stamp for stamp, at in detections]) / 1e6
    values = reports.values
    compute = float(values["compute_p50_ms"])
    superseded = int(values.get("dropped.superseded", 0))
    return {
        "sent": arguments.frames + WARM_UP,
        "received": int(values["received"]),
        "lost_in_transport": arguments.frames + WARM_UP - int(values["received"]),
        "superseded": superseded,
        "other_drops": int(values["received"]) - int(values["processed"]) - superseded,
        "detections": len(latency),
        "latency_ms": percentiles(latency),
        "compute_p50_ms": compute,
        "overhead_ms": percentiles(latency - compute),
        "provider": values["provider"],
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return sums of losses, and the median and spread over rounds of the overhead's quantiles."""
    quantiles = {}
    for name in ("p50", "p95", "p99"):
        found = [each["overhead_ms"][name] for each in rounds if each["overhead_ms"]]
        if found:
            quantiles[name] = {
                "median": round(float(np.median(found)), 3),
                "least": min(found),
                "most": max(found),
            }
    return {
        "sent": sum(each["sent"] for each in rounds),
        "lost_in_transport": sum(each["lost_in_transport"] for each in rounds),
        "superseded": sum(each["superseded"] for each in rounds),
        "overhead_ms": quantiles,
    }


def percentiles(values: np.ndarray) -> dict[str, float]:
    """Return p50, p95 and p99; nothing where nothing was measured."""
    if not len(values):
        return {}
    found = np.percentile(values, (50, 95, 99))
    return {name: round(float(v), 3) for name, v in zip(("p50", "p95", "p99"), found, strict=True)}


def publish(arguments: argparse.Namespace) -> None:
    """Publish images on a steady schedule; the stamp is the moment of publishing."""
    import rclpy
    from rclpy.node import Node
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    generator = np.random.default_rng(0)
    shape = (arguments.height, arguments.width, 3)
    picture = generator.integers(0, 256, shape, dtype=np.uint8)
    message = encode.image(encode.header(Header(0, "camera")), picture)
    data = bytearray(typestore().serialize_cdr(message, "sensor_msgs/msg/Image"))
    rclpy.init(args=[])
    node = Node("camera", start_parameter_services=False, enable_rosout=False)
    qos = QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT
    )
    sender = node.create_publisher(Image, TOPIC, qos)
    deadline = time.monotonic() + PATIENCE_S
    while sender.get_subscription_count() == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    say("linked" if sender.get_subscription_count() else "alone")
    await_order()
    period_ns = round(1e9 / arguments.rate)
    start_ns = time.monotonic_ns()
    for index in range(WARM_UP + arguments.frames):
        time.sleep(max(start_ns + index * period_ns - time.monotonic_ns(), 0) / 1e9)
        now_ns = time.time_ns()
        # CDR, little-endian: the header's stamp comes first.
        struct.pack_into("<iI", data, 4, *divmod(now_ns, 1_000_000_000))
        sender.publish(bytes(data))
        if index == WARM_UP:
            say(str(now_ns))
    say("done")
    # The last image lies in this process's memory: stay until ended.
    await_order()


if __name__ == "__main__":
    main()
