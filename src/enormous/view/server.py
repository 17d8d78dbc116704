"""A static HTTP server on loopback, for the built book and for Zarr stores in a folder.

Called by ``make serve`` (as ``python -m enormous.view.server``) and by the
tests. It answers what a sharded Zarr reader asks of a server (byte ranges, also
those counted from the end, HEAD, ETag), which Python's own ``http.server`` does
not.
"""

from __future__ import annotations

import argparse
import contextlib
import mimetypes
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from enormous.errors import EnormousError, MissingExtra, UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Scope
    from uvicorn import Server

HOST = "127.0.0.1"
DEFAULT_PORT = 8000
READ_BYTES = 1 << 20  # starlette's 64 KiB reads cost a thread switch each
START_SECONDS = 10.0

# The machine's own table (registry, /etc/mime.types) may say otherwise, and a
# browser refuses a module or a wasm file with the wrong type.
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".zarray": "application/json",
    ".zattrs": "application/json",
    ".zgroup": "application/json",
    ".zmetadata": "application/json",
}


def media_type(name: str) -> str:
    """Media type of a file, by its name, the same on every machine.

    Parameters
    ----------
    name : str
        File name or path; hidden Zarr v2 metadata names count as JSON.

    Returns
    -------
    str
        For example ``"text/javascript"``; ``"application/octet-stream"`` where unknown.
    """
    base = os.path.basename(name).lower()
    suffix = base if base.startswith(".z") else os.path.splitext(base)[1]
    if suffix in MEDIA_TYPES:
        return MEDIA_TYPES[suffix]
    guessed, encoding = mimetypes.guess_type(base)
    if encoding:  # a .gz stays packed: it is a file to download, not a transfer encoding
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    return guessed or "application/octet-stream"


def application(folder: str | os.PathLike[str]) -> ASGIApp:
    """ASGI application that serves the files of one folder, and nothing outside it.

    GET and HEAD; single, suffix and multiple byte ranges (206, 416); ETag,
    Last-Modified and 304; ``index.html`` for a folder; ``404.html`` with status
    404. Every answer says ``Cache-Control: no-cache``: a browser asks again, so
    that a page just rebuilt is never shown stale. No folder listings.

    Parameters
    ----------
    folder : path
        Root of what is served. Links that lead out of it are not followed.

    Returns
    -------
    starlette.applications.Starlette

    Raises
    ------
    UsageError
        `folder` is not a folder.
    MissingExtra
        starlette is not installed.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(
            f"{root} is not a folder; name the folder to serve "
            "(the book is built into _build/html by: make book)"
        )
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.responses import FileResponse, Response
        from starlette.routing import Mount
        from starlette.staticfiles import StaticFiles
    except ImportError as error:
        raise MissingExtra("starlette", "view") from error

    class Files(StaticFiles):
        """Starlette's files, with our media types, larger reads and revalidation."""

        def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
            try:
                return super().lookup_path(path)
            except PermissionError as error:
                raise HTTPException(status_code=403) from error
            except (OSError, ValueError):  # a loop of links, a NUL, a name too long: no such file
                return "", None

        def file_response(
            self,
            full_path: str | os.PathLike[str],
            stat_result: os.stat_result,
            scope: Scope,
            status_code: int = 200,
        ) -> Response:
            response = super().file_response(full_path, stat_result, scope, status_code)
            if isinstance(response, FileResponse):
                kind = media_type(os.fspath(full_path))
                text = kind.startswith("text/")
                response.headers["content-type"] = f"{kind}; charset=utf-8" if text else kind
                response.chunk_size = READ_BYTES
            return response

        async def get_response(self, path: str, scope: Scope) -> Response:
            response = await super().get_response(path, scope)
            response.headers["cache-control"] = "no-cache"
            return response

    return Starlette(routes=[Mount("/", app=Files(directory=root, html=True))])


@contextlib.contextmanager
def serve(folder: str | os.PathLike[str], port: int = 0) -> Iterator[str]:
    """Serve a folder from a thread for as long as the ``with`` block lasts.

    Parameters
    ----------
    folder : path
        Root of what is served.
    port : int
        Port on 127.0.0.1; 0 takes a free one.

    Yields
    ------
    str
        Base address without a slash at its end, ``"http://127.0.0.1:40123"``. The
        server answers before the block is entered and has stopped after it.

    Raises
    ------
    UsageError
        `folder` is not a folder, or the port is taken or not allowed.
    MissingExtra
        starlette or uvicorn is not installed.
    """
    server = _server(folder)
    with _listen(port) as listener:
        address = _address(listener)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name=f"serve {address}", daemon=True
        )
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield address
        finally:
            server.should_exit = True
            thread.join()


def serve_forever(folder: str | os.PathLike[str], port: int | None = None) -> None:
    """Serve a folder in the foreground, print its address, return on Ctrl-C.

    Parameters
    ----------
    folder : path
        Root of what is served.
    port : int, optional
        Port on 127.0.0.1; by default 8000, or a free one where that is taken.

    Raises
    ------
    UsageError
        `folder` is not a folder, or the port asked for is taken or not allowed.
    MissingExtra
        starlette or uvicorn is not installed.
    """
    server = _server(folder)
    with _listen_somewhere() if port is None else _listen(port) as listener:
        print(f"serving {folder} at {_address(listener)}/ (Ctrl-C ends it)", flush=True)
        # uvicorn stops cleanly on SIGINT, then raises it again
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _server(folder: str | os.PathLike[str]) -> Server:
    """Uvicorn server for `folder`, not yet listening; it logs errors only."""
    app = application(folder)
    try:
        from uvicorn import Config, Server
    except ImportError as error:
        raise MissingExtra("uvicorn", "view") from error

    class ReadOnlyServer(Server):
        """Uvicorn that drops what it is sending when told to stop: nothing can be lost."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await super().shutdown(sockets)

    return ReadOnlyServer(
        Config(app, log_level="warning", access_log=False, lifespan="off", ws="none")
    )


def _listen(port: int) -> socket.socket:
    """Socket that listens on loopback at `port` (0: a free one), so that early calls queue."""
    # The protocol is named because asyncio turns Nagle's delay off (40 ms an answer on a
    # kept connection) only where it is; socket.create_server leaves it at 0.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # a port used a moment ago is free; elsewhere it would mean stealing
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot listen on {HOST}:{port} ({reason}); "
            "give another --port, or none for a free one"
        ) from error
    return listener


def _listen_somewhere() -> socket.socket:
    """Socket at the default port or, where that is taken, at a free one."""
    try:
        return _listen(DEFAULT_PORT)
    except UsageError:
        return _listen(0)


def _address(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}"


def _wait_until_started(server: Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError(f"the thread '{thread.name}' did not start to serve")
        time.sleep(0.005)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m enormous.view.server DIR [--port N]``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 after Ctrl-C, 2 where the call was wrong.
    """
    parser = argparse.ArgumentParser(
        prog="python -m enormous.view.server", description="Serve a folder on this machine."
    )
    parser.add_argument("folder", help="folder to serve, e.g. _build/html")
    parser.add_argument(
        "--port", type=int, help=f"port; by default {DEFAULT_PORT}, or a free one where it is taken"
    )
    call = parser.parse_args(arguments)
    try:
        serve_forever(call.folder, call.port)
    except EnormousError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
