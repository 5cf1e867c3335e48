"""An HTTP server on this machine that hands out files, with the faults that a test asks for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["WeightsServer", "serving"]


@dataclass
class WeightsServer:
    """What is served, and what was asked for.

    files: content by path, without a slash. ranges: whether parts are served. cuts: after how many
    bytes the next answers break off, one each. statuses: errors that the next answers are, one
    each. redirects: path -> where it is said to be. requests: (path, Range or "") of each.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[WeightsServer]:
    """Run a server on a free port of 127.0.0.1 until the block ends."""
    state = WeightsServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, state)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, state: WeightsServer) -> None:
    # A proxy is asked for whole addresses.
    path = handler.path if "://" in handler.path else handler.path[1:]
    wanted = handler.headers.get("Range", "")
    state.requests.append((path, wanted))
    if state.statuses:
        handler.send_error(state.statuses.pop(0))
        return
    if path in state.redirects:
        handler.send_response(302)
        handler.send_header("Location", state.redirects[path])
        handler.end_headers()
        return
    if path not in state.files:
        handler.send_error(404)
        return
    content = state.files[path]
    start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
    if start and start >= len(content):
        handler.send_error(416)
        return
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Length", str(len(content) - start))
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.end_headers()
    cut = state.cuts.pop(0) if state.cuts else len(content)
    handler.wfile.write(content[start : start + cut])
