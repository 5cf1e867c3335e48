"""Compiled kernels: when their cache is left, and where their compilation may be interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core import event

from cnn_perception.errors import PerceptionError
from cnn_perception.mapping.jit import compiling_while, sources_digest

KERNEL = "from cnn_perception.mapping.jit import kernel\n"


def test_the_digest_follows_the_modules_with_kernels(tmp_path: Path) -> None:
    kernels, plain = tmp_path / "a_kernels.py", tmp_path / "plain.py"
    kernels.write_text(KERNEL)
    first = sources_digest(tmp_path)
    plain.write_text("x = 1\n")
    assert sources_digest(tmp_path) == first
    kernels.write_text(KERNEL + "# changed\n")
    assert sources_digest(tmp_path) != first
    kernels.write_text(KERNEL)
    assert sources_digest(tmp_path) == first


def test_kernels_are_cached_where_numba_is_told_to(tmp_path: Path) -> None:
    script = (
        "from cnn_perception.mapping.files.octomap_codec import warm_up\n"
        "from cnn_perception.mapping.jit import is_cached\n"
        "assert not is_cached()\n"
        "warm_up()\n"
        "assert is_cached()\n"
        "import numba\n"
        "assert numba.config.CACHE_DIR == CACHE, numba.config.CACHE_DIR\n"
    )
    subprocess.run(
        [sys.executable, "-c", f"CACHE = {str(tmp_path)!r}\n" + script],
        check=True,
        env={"PATH": "", "NUMBA_CACHE_DIR": str(tmp_path)},
    )
    folders = list(tmp_path.iterdir())
    assert len(folders) == 1
    assert folders[0].name.startswith("kernels-")
    assert list(folders[0].rglob("*.nbi"))


class _CtrlC(event.Listener):
    """Sends Ctrl-C within the first step of a compilation, and sees whether it raises there."""

    def __init__(self) -> None:
        self.steps = 0
        self.passed = False

    def on_start(self, event: Any) -> None:
        self.steps += 1
        if self.steps == 1:
            os.kill(os.getpid(), signal.SIGINT)
            self.passed = True

    def on_end(self, event: Any) -> None:
        pass


def compiled() -> int:
    return int(numba.njit(lambda number: number + 1)(1))


def test_ctrl_c_is_raised_between_two_steps_of_a_compilation() -> None:
    ctrl_c = _CtrlC()
    with event.install_listener("numba:compiler_lock", ctrl_c), pytest.raises(KeyboardInterrupt):
        compiled()
    assert ctrl_c.passed
    assert ctrl_c.steps == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert compiled() == 2


def test_ctrl_c_is_left_to_a_handler_of_the_program() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with event.install_listener("numba:compiler_lock", _CtrlC()):
            assert compiled() == 2
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_a_compilation_ends_once_it_is_unwanted() -> None:
    answers = [True, True, False]
    with compiling_while(lambda: answers.pop(0)), pytest.raises(PerceptionError, match="stopped"):
        compiled()
    assert answers == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert compiled() == 2
