"""The cache of compiled kernels is left when the text of any of them changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cnn_perception.mapping.jit import sources_digest

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
