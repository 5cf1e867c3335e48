"""What more workers bring to a fleet of bags: frames per second with one process and with several.

Copies of a bag are replayed from scratch, each time into an empty folder. The contenders' results
are proven equal, topic by topic. Starting Ray is shown apart: it takes seconds, however many bags
there are. Rounds alternate between the contenders, so that other load on the machine meets all.

    .venv/bin/python benchmarks/replay_fleet.py --out replay_fleet.json
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _nodes import report

from cnn_perception.offboard.benchmarks.machine import describe_machine
from cnn_perception.replay.fleet.fleet import replay_fleet
from cnn_perception.replay.run import ReplayRun
from cnn_perception.resources import demo_drive


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bag", type=Path, default=demo_drive())
    parser.add_argument("--bags", type=int, default=8, help="copies of the bag")
    parser.add_argument("--config", type=Path, help="plan of the replays")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result as JSON here too")
    arguments = parser.parse_args()
    rounds: dict[int, list[dict[str, Any]]] = {count: [] for count in arguments.workers}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bags = [root / "bags" / f"bag_{index:03d}" for index in range(arguments.bags)]
        for bag in bags:
            shutil.copytree(arguments.bag, bag)
        # Compiled kernels are on disk afterwards.
        wanted = run_round(bags[:1], root / "out", arguments.config, 1)["digests"][0]
        for index in range(arguments.rounds):
            for count in arguments.workers:
                made = run_round(bags, root / "out", arguments.config, count)
                if any(digests != wanted for digests in made.pop("digests")):
                    raise SystemExit(f"{count} workers gave other results: nothing to compare")
                rounds[count].append(made)
                sys.stderr.write(f"round {index + 1}, {count} workers: {made}\n")
    base = median(rounds[arguments.workers[0]])
    result = {
        "benchmark": "replay_fleet",
        "machine": describe_machine(),
        "settings": {"bag": arguments.bag.name, "bags": arguments.bags},
        "contenders": {
            f"{count} workers": {
                "frames_per_second": median(made),
                "times_the_first": round(median(made) / base, 2),
            }
            for count, made in rounds.items()
        },
        "rounds": {f"{count} workers": made for count, made in rounds.items()},
    }
    report(result, arguments.out)


def run_round(bags: list[Path], out: Path, plan: Path | None, workers: int) -> dict[str, Any]:
    """Replay all bags; return the figures and every replay's digests by topic."""
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    fleet = replay_fleet(bags, out, plan, workers=workers)
    seconds = time.perf_counter() - start
    faults = [f"{row.name}: {row.error}" for row in fleet.rows if row.error]
    if faults:
        raise SystemExit("; ".join(faults))
    return {
        "frames_per_second": fleet.totals()["frames_per_second"],
        "seconds": round(fleet.seconds, 2),
        "seconds_to_start": round(seconds - fleet.seconds, 2),
        "digests": [ReplayRun.load(row.out).summary["digests"] for row in fleet.rows],
    }


def median(rounds: list[dict[str, Any]]) -> float:
    """Return the median speed."""
    return round(statistics.median(made["frames_per_second"] for made in rounds), 2)


if __name__ == "__main__":
    main()
