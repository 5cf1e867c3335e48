"""Files fetched over HTTP: resumed, repeated, checked by sha256, whole or not at all.

Written on the standard library: pip's vendored clients are no public interface, and `requests`
would be a dependency of every robot for one command.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from cnn_perception.errors import ModelError
from cnn_perception.runtime.bundle import file_digest

__all__ = ["Progress", "cache_folder", "check_digest", "download"]

_log = logging.getLogger(__name__)

Progress = Callable[[int, "int | None"], None]
"""Told now and then how many bytes are there, of how many (None where the server does not say)."""

_ATTEMPTS = 5
_TIMEOUT_S = 30.0
_BLOCK = 1 << 18
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses after which the same request may succeed (RFC 9110)."""


_NETWORK_ERRORS = (
    URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
"""What a server or the way to it can do wrong; other OSErrors are the disk's."""


def cache_folder() -> Path:
    """Return where downloads are kept (XDG base directory specification)."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "cnn_perception"


def check_digest(path: Path, sha256: str, remedy: str) -> None:
    """Raise ModelError unless a file's sha256 begins with the given digits."""
    try:
        actual = file_digest(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if not actual.startswith(sha256.lower()):
        raise ModelError(
            f"{path} has sha256 {actual[: max(len(sha256), 16)]}... but {sha256}... is expected: "
            f"{remedy}"
        )


def download(
    url: str,
    sha256: str,
    folder: Path,
    *,
    progress: Progress = lambda done, total: None,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Return the file at `url`, in `folder`; fetched unless it is there already.

    What arrives is kept in ``NAME.part`` and continued by the next attempt, also of another
    process, where the server knows ranges. The file gets its name when its sha256 begins with the
    given digits. Proxies are taken from the environment (http_proxy, https_proxy, no_proxy).
    wait: called with seconds before an attempt is repeated. Raises ModelError.
    """
    path = folder / url.rpartition("/")[2]
    part = path.with_name(f"{path.name}.part")
    resumed = part.is_file()
    try:
        if path.is_file() and file_digest(path).startswith(sha256):
            return path
        folder.mkdir(parents=True, exist_ok=True)
        _fetch_patiently(url, part, progress, wait)
        if resumed and not file_digest(part).startswith(sha256):
            _log.warning("%s was the beginning of another file: once more", part)
            part.unlink()
            _fetch_patiently(url, part, progress, wait)
        if not file_digest(part).startswith(sha256):
            wrong = file_digest(part)
            part.unlink()
            raise ModelError(
                f"{url} has sha256 {wrong[:16]}... but {sha256[:16]}... is expected: fetch the "
                "file elsewhere and give it with --from FILE"
            )
        part.replace(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read or written: {error}") from error
    return path


def _fetch_patiently(
    url: str, part: Path, progress: Progress, wait: Callable[[float], None]
) -> None:
    """Complete a part; repeat what may succeed later, after 1, 2, 4 and 8 seconds."""
    for attempt in range(_ATTEMPTS):
        try:
            _fetch(url, part, progress)
            return
        except _NETWORK_ERRORS as error:
            if not _may_pass(error) or attempt == _ATTEMPTS - 1:
                raise ModelError(
                    f"{url} cannot be downloaded ({_reason(error)}): try again to go on where it "
                    "stopped, or fetch it on another machine and give it with --from FILE"
                ) from error
            _log.warning("%s: %s, trying again", url, _reason(error))
        wait(2.0**attempt)


def _fetch(url: str, part: Path, progress: Progress) -> None:
    """Request what a part lacks, and append it; raises HTTPException when less comes."""
    done = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    try:
        # urlopen would keep the proxies of its first call.
        response = build_opener().open(Request(url, headers=headers), timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
            raise
        # Nothing comes after what is there: the sha256 tells whether that is the file.
        error.close()
        return
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            done = 0
        elif not str(response.headers.get("Content-Range", "")).startswith(f"bytes {done}-"):
            part.unlink()
            raise http.client.HTTPException("the server answered with another range")
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if done else "wb") as stream:
            while block := response.read(_BLOCK):
                stream.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done < total:
        raise http.client.HTTPException(f"cut off after {done} of {total} bytes")


def _may_pass(error: Exception) -> bool:
    """Return whether the same request may succeed a few seconds later."""
    if isinstance(error, HTTPError):
        return error.code in _TRANSIENT
    cause = error.reason if isinstance(error, URLError) else error
    return not isinstance(cause, socket.gaierror | ssl.SSLCertVerificationError)


def _reason(error: Exception) -> str:
    """Return one line on what went wrong."""
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    cause = error.reason if isinstance(error, URLError) else error
    return " ".join(str(cause).split()) or type(error).__name__
