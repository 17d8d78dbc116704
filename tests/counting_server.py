"""A loopback HTTP server that counts what it serves: the judge of what readers claim."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Served:
    """What a server did: one (method, path, status, bytes sent) a request."""

    url: str
    requests: list[tuple[str, str, int, int]] = field(default_factory=list)

    @property
    def gets(self) -> int:
        return sum(method == "GET" for method, *_ in self.requests)

    @property
    def sent(self) -> int:
        return sum(sent for *_, sent in self.requests)

    @property
    def missing(self) -> int:
        return sum(status == 404 for _, _, status, _ in self.requests)


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve `folder` with byte ranges on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

        def answer(self) -> None:
            file = folder / self.path.lstrip("/")
            if not file.is_file():
                served.requests.append((self.command, self.path, 404, 0))
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = file.read_bytes()
            status, start, end = 200, 0, len(data)
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if asked:
                first, last = asked.groups()
                status = 206
                start = int(first) if first else max(0, end - int(last))
                end = min(end, int(last) + 1) if first and last else end
            body = data[start:end] if self.command == "GET" else b""
            served.requests.append((self.command, self.path, status, len(body)))
            self.send_response(status)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
