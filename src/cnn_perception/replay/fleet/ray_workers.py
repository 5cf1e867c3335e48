"""Workers of a fleet: processes of Ray, on this machine or on those of a cluster."""

from __future__ import annotations

import os
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cnn_perception.errors import ConfigError
from cnn_perception.replay.fleet.fleet_runner import FleetRow, FleetTest, run_fleet_test

__all__ = ["RayWorkers"]

_EVERYWHERE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_oom_retries": "1",
    # Ray prints what its daemons say about dead workers; the row of the bag says it already.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
_OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Close to the least that Ray takes: only rows of the table go through it."""

_PATIENCE_S = 10.0


class RayWorkers:
    """Replays tests in `workers` processes at a time. Use it as a context manager.

    address: of a running cluster, whose machines must see the same paths and have this package;
    without one Ray is started on this machine, and stopped at the end. workers: None for every CPU.
    Raises ConfigError where Ray is not installed, or does not start, or does not answer.
    """

    def __init__(self, workers: int | None, address: str | None = None) -> None:
        if address is not None:
            _check_address(address)
        self._ray = _ray(local=address is None)
        options: dict[str, Any] = {"address": address}
        if address is None:
            options = {
                "address": "local",  # not the cluster that RAY_ADDRESS may name
                "num_cpus": workers,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
            }
        try:
            self._ray.init(
                log_to_driver=False, configure_logging=False, logging_level="ERROR", **options
            )
            if address is None:  # a cluster may have other work first
                self._ray.get([self._task(_is_ready).remote() for _ in range(workers or 0)])
        except Exception as error:  # of many kinds, as the ways to miss a cluster are
            self._ray.shutdown()
            text = " ".join(str(error).split())
            raise ConfigError(
                f"Ray does not start: {text}"
                if address is None
                else f"no Ray cluster answers at {address!r} ({text}): see 'ray status' there"
            ) from error
        self.count = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *error: object) -> None:
        self._ray.shutdown()

    def run(self, tests: Sequence[FleetTest]) -> Iterator[FleetRow]:
        """Start tests in their order, yield rows as they come.

        A test whose worker process dies is tried once more; then its row says so.
        """
        task = self._task(run_fleet_test)
        waiting, running = deque(tests), dict[Any, FleetTest]()
        while waiting or running:
            while waiting and len(running) < self.count:
                test = waiting.popleft()
                running[task.remote(test)] = test
            (done,), _ = self._ray.wait(list(running))
            yield self._row(done, running.pop(done))

    def _task(self, function: Callable[..., Any]) -> Any:
        return self._ray.remote(num_cpus=1, max_retries=1)(function)

    def _row(self, done: Any, test: FleetTest) -> FleetRow:
        errors = self._ray.exceptions
        try:
            row: FleetRow = self._ray.get(done)
        except errors.OutOfMemoryError:
            text = "out of memory, twice: use fewer workers, or a bag with shorter windows"
        except errors.WorkerCrashedError:
            text = "its worker process died, twice: replay it alone to see what it dies of"
        except errors.RayError as error:
            text = f"lost by Ray: {' '.join(str(error).split())}"
        else:
            return row
        return FleetRow(test.bag, test.out, error=text)


def _is_ready() -> bool:
    """Answer, in a process that has imported this module and with it all that a test needs."""
    return True


def _check_address(address: str) -> None:
    """Raise ConfigError where nobody listens: Ray itself would try for a quarter of an hour."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:  # "auto", say
        return
    try:
        socket.create_connection((host, int(port)), _PATIENCE_S).close()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address!r} ({error}): give the address that "
            "'ray start --head' printed"
        ) from error


def _ray(*, local: bool) -> Any:
    """Import Ray, which reads some settings when it is loaded; the user's own stay."""
    settings = dict(_EVERYWHERE)
    if local:
        # A token of its own: others on the network cannot use the workers, and no file is left.
        token = secrets.token_hex(32)
        settings |= {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError(
            "several workers need Ray: pip install ray, or use --workers 1"
        ) from error
    return ray
