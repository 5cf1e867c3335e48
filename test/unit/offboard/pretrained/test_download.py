"""Downloads against a server on this machine that answers well, badly, and not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnn_perception.errors import ModelError
from cnn_perception.offboard.pretrained.download import cache_folder, check_digest, download
from weights_server import WeightsServer, serving

CONTENT = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = "net-0123.pth"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    with serving() as state:
        state.files[NAME] = CONTENT
        yield state


class Waits(list[float]):
    """Stands for time.sleep: remembers, does not wait."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def fetch(server: WeightsServer, folder: Path, sha256: str = DIGEST) -> tuple[Path, Waits]:
    waits = Waits()
    return download(server.url + NAME, sha256, folder, wait=waits), waits


def test_whole_and_then_not_again(server: WeightsServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download(
        server.url + NAME,
        DIGEST[:8],
        tmp_path / "new" / "cache",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert path == tmp_path / "new" / "cache" / NAME
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [NAME]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    fetch(server, path.parent)
    assert server.requests == [(NAME, "")]


def test_cut_off_and_continued(server: WeightsServer, tmp_path: Path) -> None:
    server.cuts = [300_000, 1]
    path, waits = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [(NAME, ""), (NAME, "bytes=300000-"), (NAME, "bytes=300001-")]
    assert waits == [1.0, 2.0]


def test_given_up_and_continued_by_the_next_call(server: WeightsServer, tmp_path: Path) -> None:
    server.cuts = [1000] * 5
    with pytest.raises(ModelError, match=r"cut off after 5000 of 768000 bytes.*--from FILE"):
        fetch(server, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [f"{NAME}.part"]
    path, waits = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1] == (NAME, "bytes=5000-")
    assert waits == []


def test_server_without_ranges_starts_again(server: WeightsServer, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [300_000]
    path, _ = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_already_whole(server: WeightsServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    path, _ = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [(NAME, f"bytes={len(CONTENT)}-")]


@pytest.mark.parametrize("length", [700, len(CONTENT) + 1])
def test_a_part_of_another_file(server: WeightsServer, tmp_path: Path, length: int) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * length)
    path, _ = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT


def test_wrong_hash_leaves_nothing(server: WeightsServer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"has sha256 {DIGEST[:16]}\.\.\. but 00000000\.\.\. is"):
        fetch(server, tmp_path, "00000000")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_replaced_is_fetched_again(server: WeightsServer, tmp_path: Path) -> None:
    path, _ = fetch(server, tmp_path)
    path.write_bytes(b"something else")
    assert fetch(server, tmp_path)[0].read_bytes() == CONTENT


def test_missing_files_are_not_asked_for_again(server: WeightsServer, tmp_path: Path) -> None:
    del server.files[NAME]
    with pytest.raises(ModelError, match=r"http://127.*net-0123.*HTTP 404 Not Found.*--from FILE"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again(server: WeightsServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    path, waits = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert waits == [1.0, 2.0]
    server.statuses = [500] * 5
    path.unlink()
    with pytest.raises(ModelError, match="HTTP 500"):
        fetch(server, tmp_path)


def test_redirects_keep_the_range(server: WeightsServer, tmp_path: Path) -> None:
    server.files["elsewhere"] = server.files.pop(NAME)
    server.redirects[NAME] = f"{server.url}elsewhere"
    server.cuts = [300_000]
    path, _ = fetch(server, tmp_path)
    assert path == tmp_path / NAME
    assert path.read_bytes() == CONTENT
    assert server.requests[-1] == ("elsewhere", "bytes=300000-")


def test_proxy_of_the_environment(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    url = f"http://weights.invalid/{NAME}"
    server.files[url] = CONTENT
    assert download(url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert server.requests == [(url, "")]


def test_no_server(server: WeightsServer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights\.invalid/x cannot be downloaded") as caught:
        download("http://weights.invalid/x", DIGEST, tmp_path, wait=Waits())
    assert "\n" not in str(caught.value)
    with serving() as gone:
        pass
    waits = Waits()
    with pytest.raises(ModelError, match="refused"):
        download(gone.url + NAME, DIGEST, tmp_path, wait=waits)
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_folder_that_cannot_be_written(server: WeightsServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match=r"file/net-0123\.pth cannot be read or written: .*"):
        fetch(server, tmp_path / "file")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "cnn_perception"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "cnn_perception"


def test_check_digest(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    with pytest.raises(ModelError, match=r"weights\.pth cannot be read: No such file"):
        check_digest(file, DIGEST, "buy one")
    file.write_bytes(CONTENT)
    check_digest(file, DIGEST[:8].upper(), "buy one")
    with pytest.raises(ModelError, match=r"but 0000\.\.\. is expected: buy one"):
        check_digest(file, "0000", "buy one")
