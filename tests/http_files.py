# SPDX-License-Identifier: Apache-2.0
"""A real web server on this machine that serves one file, well or badly, as a plan says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WELL = "well"


class Site(ThreadingHTTPServer):
    """Each request takes the next word of `plan`, and behaves well when there is none left.

    Args:
        content: of the file.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.plan: list[str] = []
        self.seen: list[str] = []

    @property
    def address(self) -> str:
        """Of the file."""
        return f"http://127.0.0.1:{self.server_address[1]}/file.bin"


@contextmanager
def site(content: bytes) -> Iterator[Site]:
    """A server that runs."""
    with Site(content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        """Answer as the plan says; `seen` keeps the Range that was asked for."""
        asked = self.headers.get("Range", "")
        self.server.seen.append(asked)
        word, _, number = (self.server.plan.pop(0) if self.server.plan else WELL).partition(" ")
        content = self.server.content
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if word == "status":
            self._answer(int(number), b"an error page")
        elif word == "whole":  # no support of ranges
            self._answer(200, content)
        elif word == "shifted":  # not the range that was asked for
            self._answer(206, content[1:], {"Content-Range": f"bytes 1-{len(content) - 1}/{len(content)}"})
        elif word == "endless":  # without a length
            self._answer(200, content + b"more", length=None)
        elif word == "longer":
            self._answer(200, content + b"more")
        elif word == "other":
            self._answer(200, bytes(len(content)))
        elif word == "labelled":  # as servers label archives, which are no less to be taken as they are
            self._answer(200, content, {"Content-Encoding": "x-gzip"})
        else:  # well, or cut after some bytes
            rest = content[start:]
            sent = rest[: int(number)] if word == "cut" else rest
            span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
            self._answer(206 if start else 200, sent, span, len(rest))

    def _answer(self, code: int, body: bytes, more: dict[str, str] | None = None, length: int | None = -1) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)  # HTTP/1.0: the connection closes behind it

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""
