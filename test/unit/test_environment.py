"""env.sh and the Makefile's first step: what a shell gets, and what a bare machine is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="no bash")


def sourced(**variables: str) -> dict[str, str]:
    """Return the environment of a shell that began with `variables` and sourced env.sh."""
    done = subprocess.run(
        [BASH or "", "-euo", "pipefail", "-c", f"source '{REPOSITORY}/env.sh' && env -0"],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(line.partition("=")[::2] for line in done.stdout.split("\0") if line)


def test_a_plain_shell_gets_the_venv_and_the_profile() -> None:
    environment = sourced()
    assert environment["PATH"].split(":")[0] == f"{REPOSITORY}/.venv/bin"
    assert environment["AMENT_PREFIX_PATH"] == f"{REPOSITORY}/.venv"
    assert Path(environment["FASTDDS_DEFAULT_PROFILES_FILE"]).is_file()
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert environment["ROS_LOG_DIR"].startswith(str(REPOSITORY))
    assert "LD_LIBRARY_PATH" not in environment


def test_nothing_of_another_ros_stays() -> None:
    environment = sourced(
        AMENT_PREFIX_PATH="/opt/ros/jazzy:/home/me/ws/install/a",
        LD_LIBRARY_PATH="/opt/ros/jazzy/lib:/usr/local/cuda/lib64:/home/me/ws/install/a/lib",
        PYTHONPATH="/opt/ros/jazzy/lib/python3.12/site-packages",
        RMW_IMPLEMENTATION="rmw_cyclonedds_cpp",
        ROS_DISTRO="jazzy",
        _ROS_WHEELS_BOOTSTRAP_COMPLETE="1",
    )
    assert environment["LD_LIBRARY_PATH"] == "/usr/local/cuda/lib64"
    assert environment["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"
    assert not {"PYTHONPATH", "ROS_DISTRO", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"} & set(environment)


def test_what_the_user_has_set_stays() -> None:
    wishes = {
        "FASTDDS_DEFAULT_PROFILES_FILE": "/etc/mine.xml",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "ROS_LOG_DIR": "/var/log/ros",
    }
    environment = sourced(**wishes)
    assert {name: environment[name] for name in wishes} == wishes


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.skipif(sys.platform != "linux", reason="the Makefile is for Linux")
def test_make_says_what_is_missing(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "make", "uname"):
        (tools / name).symlink_to(shutil.which(name) or "")
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    done = subprocess.run(
        ["make", f"SHELL={BASH}", f"PYTHON={sys.executable}", ".venv/.created"],
        cwd=tmp_path,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "apt install g++" in done.stderr or "x86_64 only" in done.stderr
    assert not (tmp_path / ".venv").exists()
