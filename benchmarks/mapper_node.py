"""The mapper node under a depth camera's full rate: frames lost, and how long a frame takes it.

A second process publishes depth images (16UC1, best effort, depth 5, as a camera driver does),
their camera_info and the camera's transforms; the mapper node runs as a third; this one reads what
it says on /diagnostics, and `octomap_binary`, so that the node encodes and publishes its map too.

    .venv/bin/python benchmarks/mapper_node.py --out mapper_node.json
    .venv/bin/python benchmarks/mapper_node.py --data FOLDER_OR_BAG --cpu 0

The images are those of a bag or RGB-D folder, enlarged to 640 columns where they are smaller,
played forwards and backwards, so that the camera moves without jumps. The first one is sent alone:
what it takes is compared with the median of all others.
"""

from __future__ import annotations

import argparse
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.offboard.benchmarks.frames import read_frames
from cnn_perception.offboard.benchmarks.machine import describe_machine
from cnn_perception.recording.bag import typestore
from cnn_perception.recording.compose import encode
from cnn_perception.resources import demo_drive
from cnn_perception.types import Header, StampedTransform

FRAME = "camera_depth_optical_frame"
IMAGE, INFO, TF = "/camera/depth/image", "/camera/depth/camera_info", "/tf"
WIDTH = 640
# Where the stamp lies in a serialised message: after the encapsulation, and in a TFMessage after
# the length of its sequence.
STAMP_AT = {IMAGE: 4, INFO: 4, TF: 8}


def main() -> None:
    """Run the benchmark, or be the camera that it starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="bag or RGB-D folder; the shipped drive if none")
    parser.add_argument("--frames", type=int, default=600, help="images sent, 2 to 1000")
    parser.add_argument("--rate", type=float, default=30.0, help="images per second")
    parser.add_argument("--resolution", type=float, default=0.05)
    parser.add_argument("--max-range", type=float, default=5.0)
    parser.add_argument("--discretize", action="store_true")
    parser.add_argument("--engine", default="voxel")
    parser.add_argument("--cpu", type=int, help="bind the node to this core, all others off it")
    parser.add_argument("--out", type=Path, help="write the result as JSON here too")
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not 2 <= arguments.frames <= 1000:
        parser.error(f"--frames {arguments.frames}: the node keeps the times of 2 to 1000")
    if arguments.publish:
        publish(arguments)
        return
    settings = {
        "data": (arguments.data or demo_drive()).name,
        **{
            name: getattr(arguments, name)
            for name in ("frames", "rate", "resolution", "max_range", "discretize", "engine", "cpu")
        },
    }
    result = {
        "benchmark": "mapper_node",
        "machine": describe_machine(),
        "settings": settings,
        "result": run_node(arguments),
    }
    report(result, arguments.out)


def run_node(arguments: argparse.Namespace) -> dict[str, Any]:
    """Start node and camera, read the node's diagnostics, end both; milliseconds."""
    from octomap_msgs.msg import Octomap

    environment = private_domain() | {PROFILE: large_images_profile()}
    parameters = {
        "engine": arguments.engine,
        "resolution": str(arguments.resolution),
        "sensor_model.max_range": str(arguments.max_range),
        "discretize": str(arguments.discretize).lower(),
    }
    spec = NodeSpec("mapper", {"depth/image": IMAGE, "depth/camera_info": INFO}, parameters)
    words = ["--publish", "--frames", str(arguments.frames), "--rate", str(arguments.rate)]
    if arguments.data is not None:
        words += ["--data", str(arguments.data.absolute())]
    maps: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        environment["ROS_LOG_DIR"] = folder
        with (
            on_core(arguments.cpu),
            node_processes([spec], Path(folder), environment) as (node,),
            off_core(arguments.cpu),
            diagnostics(
                environment, [(Octomap, "/octomap_binary", lambda m: maps.append(len(m.data)))]
            ) as reports,
            camera(__file__, words, environment, arguments.frames / arguments.rate) as source,
        ):
            source.expect("linked", node)
            reports.wait_reports(2)
            source.go()
            source.expect("first", node)
            reports.wait(lambda: reports.values.get("processed") == "1")
            first = reports.values
            before = processor_seconds(node.pid)
            source.go()
            source.expect("done", node)
            used = processor_seconds(node.pid) - before
            reports.wait_reports(2)
        faults = node.faults()
    if faults:
        raise SystemExit("; ".join(faults))
    seconds = (arguments.frames - 1) / arguments.rate
    return evaluate(arguments, reports, float(first["compute_p50_ms"])) | {
        "cores_used": round(used / seconds, 3),
        "maps_published": len(maps),
        "map_bytes": maps[-1] if maps else 0,
    }


def evaluate(
    arguments: argparse.Namespace, reports: Diagnostics, first_ms: float
) -> dict[str, Any]:
    """Return what was lost, and how long the others took."""
    values = reports.values
    received, processed = int(values["received"]), int(values["processed"])
    quantiles = ("p50", "p95", "p99")
    integrate = {name: float(values[f"compute_{name}_ms"]) for name in quantiles}
    return {
        "sent": arguments.frames,
        "lost": arguments.frames - processed,
        "lost_in_transport": arguments.frames - received,
        "dropped": {
            key.removeprefix("dropped."): int(value)
            for key, value in values.items()
            if key.startswith("dropped.")
        },
        "integrate_ms": integrate,
        "latency_ms": {name: float(values[f"latency_{name}_ms"]) for name in quantiles},
        "first_frame_ms": first_ms,
        "first_frame_to_median": round(first_ms / integrate["p50"], 2),
        "engine": values["provider"],
    }


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    # The name in parentheses may hold spaces: count from behind it. utime and stime are 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Start processes on one core; the present process is free again when the block is left."""
    allowed = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def off_core(core: int | None) -> Iterator[None]:
    """Start processes on all cores but one, for which another process was bound before."""
    before = os.sched_getaffinity(0)
    others = set(range(os.cpu_count() or 1)) - {core}
    if core is not None and others:
        os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Serialised:
    """The messages of one frame by topic, transforms first; stamped when they are sent."""

    messages: dict[str, bytearray]

    def stamped(self, now_ns: int) -> Iterator[tuple[str, bytes]]:
        for topic, data in self.messages.items():
            # CDR, little-endian.
            struct.pack_into("<iI", data, STAMP_AT[topic], *divmod(now_ns, 1_000_000_000))
            yield topic, bytes(data)


def serialise(scan: DepthScan) -> Serialised:
    """Return transform, calibration and image of a scan, enlarged to WIDTH by whole factors."""
    factor = max(1, WIDTH // scan.intrinsics.width)
    camera = scan.intrinsics
    # Pixel centres are whole numbers: the first pixel's centre moves to the middle of its copies.
    enlarged = replace(
        camera,
        width=camera.width * factor,
        height=camera.height * factor,
        fx=camera.fx * factor,
        fy=camera.fy * factor,
        cx=(camera.cx + 0.5) * factor - 0.5,
        cy=(camera.cy + 0.5) * factor - 0.5,
    )
    millimetres = np.nan_to_num(np.rint(scan.depth * 1000.0)).astype(np.uint16)
    depth = np.kron(millimetres, np.ones((factor, factor), np.uint16))
    header = encode.header(Header(0, FRAME))
    edge = StampedTransform("map", FRAME, 0, scan.map_from_sensor)
    messages = {
        TF: encode.transforms(edge),
        INFO: encode.camera_info(header, enlarged),
        IMAGE: encode.depth_image(header, depth),
    }
    return Serialised(
        {
            topic: bytearray(typestore().serialize_cdr(message, message.__msgtype__))
            for topic, message in messages.items()
        }
    )


def publish(arguments: argparse.Namespace) -> None:
    """Publish one frame, and when told to the others on a steady schedule."""
    import rclpy
    from rclpy.node import Node
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, Image
    from tf2_msgs.msg import TFMessage

    frames = [
        serialise(frame.scan) for frame in read_frames(arguments.data or demo_drive(), count=60)
    ]
    there_and_back = frames + frames[-2:0:-1]
    rclpy.init(args=[])
    node = Node("camera", start_parameter_services=False, enable_rosout=False)
    best_effort = QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT
    )
    senders = {
        TF: node.create_publisher(TFMessage, TF, 100),
        INFO: node.create_publisher(CameraInfo, INFO, best_effort),
        IMAGE: node.create_publisher(Image, IMAGE, best_effort),
    }

    def send(index: int) -> None:
        frame = there_and_back[index % len(there_and_back)]
        for topic, data in frame.stamped(time.time_ns()):
            senders[topic].publish(data)

    deadline = time.monotonic() + PATIENCE_S
    while not all(sender.get_subscription_count() for sender in senders.values()):
        if time.monotonic() > deadline:
            say("alone")
            return
        time.sleep(0.01)
    say("linked")
    await_order()
    send(0)
    say("first")
    await_order()
    period_ns, start_ns = round(1e9 / arguments.rate), time.monotonic_ns()
    for index in range(1, arguments.frames):
        time.sleep(max(start_ns + index * period_ns - time.monotonic_ns(), 0) / 1e9)
        send(index)
    say("done")
    # The last image lies in this process's memory: stay until ended.
    await_order()


if __name__ == "__main__":
    main()
