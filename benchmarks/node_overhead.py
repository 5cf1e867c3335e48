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
import platform
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.demo.processes import NodeSpec, node_processes
from cnn_perception.replay import compose
from cnn_perception.replay.bag import typestore
from cnn_perception.resources import share_directory
from cnn_perception.types import Header

PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"
WARM_UP = 30
PATIENCE_S = 60.0
TOPIC = "/benchmark/image"


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
            rounds[name].append(run_round(arguments, name, domain=1 + (os.getpid() + index) % 100))
            sys.stderr.write(f"round {index + 1} {name}: {json.dumps(rounds[name][-1])}\n")
    result = {
        "benchmark": "node_overhead",
        "machine": machine(),
        "settings": {
            name: getattr(arguments, name)
            for name in ("model", "frames", "rate", "width", "height")
        },
        "contenders": {name: summary(each) for name, each in rounds.items()},
        "rounds": rounds,
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.out is not None:
        arguments.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def run_round(arguments: argparse.Namespace, contender: str, domain: int) -> dict[str, Any]:
    """Start node and publisher, collect the detections, end both."""
    environment = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if contender == "profile":
        environment[PROFILE] = str(share_directory() / "config" / "fastdds_large_images.xml")
    else:
        os.environ.pop(PROFILE, None)
    spec = NodeSpec("detector", {"image": TOPIC}, {"model": arguments.model})
    with tempfile.TemporaryDirectory() as folder:
        environment["ROS_LOG_DIR"] = folder
        with (
            node_processes([spec], Path(folder), environment) as (node,),
            receiver(domain) as heard,
            publisher(arguments, environment) as camera,
        ):
            assert camera.stdin is not None and camera.stdout is not None
            if camera.stdout.readline().strip() != "linked":
                node.check()
                raise SystemExit("the publisher did not find the node")
            heard.wait(lambda: heard.reports >= 2)
            camera.stdin.write("go\n")
            camera.stdin.flush()
            first_ns = int(camera.stdout.readline())
            if camera.stdout.readline().strip() != "done":
                raise SystemExit("the publisher failed")
            seen = heard.reports
            heard.wait(lambda: heard.reports >= seen + 2)
        faults = node.faults()
    if faults:
        raise SystemExit("; ".join(faults))
    return evaluate(arguments, heard, first_ns)


def evaluate(arguments: argparse.Namespace, heard: Receiver, first_ns: int) -> dict[str, Any]:
    """Return one round's figures; milliseconds."""
    latency = np.array([at - stamp for stamp, at in heard.detections if stamp >= first_ns]) / 1e6
    values = heard.values
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


class Receiver:
    """Detections (stamp, receive time; ns) and the node's last diagnostics."""

    def __init__(self) -> None:
        self.detections: list[tuple[int, int]] = []
        self.values: Mapping[str, str] = {}
        self.reports = 0
        self.changed = threading.Condition()

    def wait(self, condition: Any) -> None:
        """Wait until a condition holds, checked after each report."""
        with self.changed:
            if not self.changed.wait_for(condition, PATIENCE_S):
                raise SystemExit("the node does not report")

    def detected(self, message: Any) -> None:
        """Take the time of a detection."""
        now = time.time_ns()
        stamp = message.header.stamp
        self.detections.append((stamp.sec * 1_000_000_000 + stamp.nanosec, now))

    def reported(self, message: Any) -> None:
        """Keep what the node says of itself."""
        with self.changed:
            self.values = {pair.key: pair.value for pair in message.status[0].values}
            self.reports += 1
            self.changed.notify_all()


@contextmanager
def receiver(domain: int) -> Iterator[Receiver]:
    """Receive in a thread of this process."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.context import Context
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.node import Node
    from vision_msgs.msg import Detection2DArray

    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    node = Node("receiver", context=context, start_parameter_services=False, enable_rosout=False)
    heard = Receiver()
    node.create_subscription(Detection2DArray, "/detector/detections", heard.detected, 100)
    node.create_subscription(DiagnosticArray, "/diagnostics", heard.reported, 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            return

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield heard
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        context.try_shutdown()


@contextmanager
def publisher(
    arguments: argparse.Namespace, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Run this file as the publisher."""
    command = [sys.executable, __file__, "--publish"]
    for name in ("frames", "rate", "width", "height"):
        command += [f"--{name}", str(getattr(arguments, name))]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    # Whatever goes wrong, its end is what the parent reads next, and that ends the benchmark.
    watchdog = threading.Timer(2 * PATIENCE_S + arguments.frames / arguments.rate, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


def publish(arguments: argparse.Namespace) -> None:
    """Publish images on a steady schedule; the stamp is the moment of publishing."""
    import rclpy
    from rclpy.node import Node
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    generator = np.random.default_rng(0)
    shape = (arguments.height, arguments.width, 3)
    picture = generator.integers(0, 256, shape, dtype=np.uint8)
    message = compose.color_image(Header(0, "camera"), picture)
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
    sys.stdin.readline()
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
    # The last image lies in this process's memory: stay until told to go.
    sys.stdin.readline()


def say(text: str) -> None:
    """Tell the parent process."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    cpu = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpu.read_text().splitlines() if cpu.is_file() else [])
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    main()
