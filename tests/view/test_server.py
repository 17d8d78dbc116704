"""The static server over real HTTP on loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enormous.errors import MissingExtra, UsageError
from enormous.view import server

PAYLOAD = os.urandom(3 * server.READ_BYTES + 17)
SECRET = b"outside the root"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    outer = tmp_path_factory.mktemp("outer")
    (outer / "secret.txt").write_bytes(SECRET)
    (outer / "root-sibling").mkdir()
    (outer / "root-sibling" / "secret.txt").write_bytes(SECRET)
    root = outer / "root"
    (root / "book").mkdir(parents=True)
    (root / "bare").mkdir()
    (root / "index.html").write_text("<p>root</p>")
    (root / "book" / "index.html").write_text("<p>book</p>")
    (root / "404.html").write_text("<p>no such page</p>")
    (root / "shard").write_bytes(PAYLOAD)
    (root / "empty").write_bytes(b"")
    for name in ("a.js", "a.css", "a.svg", "a.json", "a.wasm", "a.md", "a.ipynb", ".zarray"):
        (root / name).write_text("x")
    (root / "a.js.gz").write_bytes(b"\x1f\x8b")
    (root / "name with ü.txt").write_text("spaces")
    (root / "inside").symlink_to(root / "book" / "index.html")
    (root / "leak.txt").symlink_to(outer / "secret.txt")
    (root / "leak").symlink_to(outer / "root-sibling")
    (root / "loop").symlink_to(root / "loop")
    with server.serve(root) as address:
        yield address


Answer = tuple[int, Message, bytes]


def ask(base: str, path: str, method: str = "GET", **headers: str) -> Answer:
    """One request, its path sent exactly as written (http.client does not normalise it)."""
    with contextlib.closing(http.client.HTTPConnection(urlsplit(base).netloc, timeout=10)) as link:
        link.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            link.putheader(name.replace("_", "-"), value)
        link.endheaders()
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=0-9", slice(0, 10)),
        ("bytes=1048570-2097160", slice(1048570, 2097161)),  # over two borders of our reads
        (f"bytes={len(PAYLOAD) - 5}-", slice(len(PAYLOAD) - 5, None)),
        ("bytes=-20", slice(-20, None)),
        (f"bytes=0-{len(PAYLOAD) + 99}", slice(None)),  # an end beyond the file is cut
        (f"bytes=-{len(PAYLOAD) + 99}", slice(None)),
    ],
)
def test_range_returns_exactly_the_bytes_asked_for(base: str, wanted: str, part: slice) -> None:
    status, headers, body = ask(base, "/shard", Range=wanted)
    start, stop, _ = part.indices(len(PAYLOAD))
    assert status == 206
    assert body == PAYLOAD[part]
    assert headers["content-range"] == f"bytes {start}-{stop - 1}/{len(PAYLOAD)}"
    assert headers["content-length"] == str(stop - start)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_range_equals_the_slice(base: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(PAYLOAD) - 1))
    stop = data.draw(st.integers(start + 1, len(PAYLOAD)))
    assert ask(base, "/shard", Range=f"bytes={start}-{stop - 1}")[2] == PAYLOAD[start:stop]


def test_several_ranges_come_as_parts(base: str) -> None:
    status, headers, body = ask(base, "/shard", Range="bytes=0-3,100-104,-2")
    assert status == 206
    assert headers.get_content_type() == "multipart/byteranges"
    for part in (PAYLOAD[:4], PAYLOAD[100:105], PAYLOAD[-2:]):
        assert b"\r\n\r\n" + part + b"\r\n" in body
    assert len(body) == int(headers["content-length"]) < 1000


@pytest.mark.parametrize("wanted", [f"bytes={len(PAYLOAD)}-", "bytes=99999999-99999999"])
def test_range_beyond_the_end_is_416_and_says_the_size(base: str, wanted: str) -> None:
    status, headers, _ = ask(base, "/shard", Range=wanted)
    assert status == 416
    assert headers["content-range"] == f"bytes */{len(PAYLOAD)}"


@pytest.mark.parametrize("wanted", ["bytes=9-3", "lines=0-3", "bytes=", "nonsense"])
def test_malformed_range_is_refused(base: str, wanted: str) -> None:
    assert ask(base, "/shard", Range=wanted)[0] in (400, 416)


def test_range_of_an_empty_file_is_416_but_the_file_is_there(base: str) -> None:
    assert ask(base, "/empty", Range="bytes=0-9")[0] == 416
    assert ask(base, "/empty")[::2] == (200, b"")


def test_head_has_the_headers_of_get_and_no_body(base: str) -> None:
    got = ask(base, "/shard")
    head = ask(base, "/shard", "HEAD")
    assert got[0] == head[0] == 200
    assert head[2] == b""
    for name in ("content-length", "content-type", "etag", "last-modified", "accept-ranges"):
        assert head[1][name] == got[1][name]
    assert got[2] == PAYLOAD
    assert head[1]["accept-ranges"] == "bytes"
    assert ask(base, "/shard", "HEAD", Range="bytes=0-9")[1]["content-length"] == "10"


def test_unchanged_file_is_not_sent_twice_and_a_changed_one_is(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    with server.serve(tmp_path) as base:
        first = ask(base, "/page.html")[1]
        assert first["cache-control"] == "no-cache"
        status, headers, body = ask(base, "/page.html", If_None_Match=first["etag"])
        assert (status, body, headers["etag"]) == (304, b"", first["etag"])
        assert ask(base, "/page.html", If_Modified_Since=first["last-modified"])[0] == 304
        page.write_text("newer")
        assert ask(base, "/page.html", If_None_Match=first["etag"])[::2] == (200, b"newer")
        # a range of a file that has changed since is the whole new file
        stale = ask(base, "/page.html", Range="bytes=0-1", If_Range=first["etag"])
        assert stale[::2] == (200, b"newer")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/", "text/html"),
        ("/a.js", "text/javascript"),
        ("/a.css", "text/css"),
        ("/a.svg", "image/svg+xml"),
        ("/a.json", "application/json"),
        ("/a.wasm", "application/wasm"),
        ("/a.md", "text/markdown"),
        ("/a.ipynb", "application/x-ipynb+json"),
        ("/.zarray", "application/json"),
        ("/a.js.gz", "application/gzip"),
        ("/shard", "application/octet-stream"),
    ],
)
def test_media_types_do_not_depend_on_the_machine(
    base: str, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server.mimetypes.types_map, ".js", "text/plain")
    headers = ask(base, name)[1]
    assert headers.get_content_type() == kind
    assert headers.get_content_charset() == ("utf-8" if kind.startswith("text/") else None)
    assert "content-encoding" not in headers


def test_folder_is_its_index_and_links_inside_the_root_work(base: str) -> None:
    assert ask(base, "/")[2] == b"<p>root</p>"
    assert ask(base, "/book/")[2] == b"<p>book</p>"
    status, headers, _ = ask(base, "/book")
    assert status == 307
    assert urlsplit(headers["location"]).path == "/book/"
    assert ask(base, "/inside")[2] == b"<p>book</p>"
    assert ask(base, "/name%20with%20%C3%BC.txt")[2] == b"spaces"
    assert ask(base, "/a.js?v=1")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/book/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/book/%2e%2e/%2e%2e/secret.txt",
        "/%252e%252e/secret.txt",
        "/../root-sibling/secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/leak.txt",
        "/leak/secret.txt",
        "/loop",
        "/nul%00byte",
        "/" + "x" * 300,
        "/index.html/below",
        "/bare/",  # no listing
        "/bare",
        "/nothing",
    ],
)
def test_what_is_not_below_the_root_is_the_404_page(base: str, path: str) -> None:
    status, headers, body = ask(base, path)
    assert (status, body) == (404, b"<p>no such page</p>")
    assert headers.get_content_type() == "text/html"


def test_absolute_target_cannot_leave_the_root(base: str) -> None:
    status, _, body = ask(base, f"{base}/../secret.txt")
    assert status in (400, 404)
    assert SECRET not in body


def test_without_a_404_page_the_status_still_is_404(tmp_path: Path) -> None:
    with server.serve(tmp_path) as base:
        assert ask(base, "/nothing")[0] == 404
        assert ask(base, "/")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading_is_allowed(base: str, method: str) -> None:
    status, headers, _ = ask(base, "/shard", method, Content_Length="0")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_one_connection_carries_many_requests_without_delay(base: str) -> None:
    seconds = []
    with contextlib.closing(http.client.HTTPConnection(urlsplit(base).netloc, timeout=10)) as link:
        link.connect()
        port = link.sock.getsockname()[1]
        for _ in range(15):
            start = time.perf_counter()
            link.request("GET", "/shard", headers={"Range": "bytes=0-9"})
            assert link.getresponse().read() == PAYLOAD[:10]
            seconds.append(time.perf_counter() - start)
            assert link.sock.getsockname()[1] == port
    # Nagle's algorithm against delayed acknowledgement would make it 40 ms
    assert statistics.median(seconds) < 0.02


def serving_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("serve ")}


def test_serve_stops_with_a_connection_open_and_frees_its_port_and_thread(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    before = serving_threads()
    with server.serve(tmp_path) as base:
        host, port = urlsplit(base).hostname, urlsplit(base).port
        assert host == "127.0.0.1"
        link = http.client.HTTPConnection(f"{host}:{port}", timeout=10)
        link.request("GET", "/a.txt")
        assert link.getresponse().read() == b"a"
        start = time.monotonic()
    assert time.monotonic() - start < 2
    link.close()
    assert serving_threads() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=5)
    with server.serve(tmp_path, port=port or 0) as again:
        assert again == base


def test_error_in_the_block_stops_the_server_and_is_raised(tmp_path: Path) -> None:
    before = serving_threads()
    with pytest.raises(KeyError), server.serve(tmp_path):
        raise KeyError
    assert serving_threads() == before


def test_wrong_calls_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not a folder.*make book"), server.serve(tmp_path / "no"):
        pass
    with (
        server.serve(tmp_path) as base,
        pytest.raises(UsageError, match=r"cannot listen on .*another --port"),
        server.serve(tmp_path, port=urlsplit(base).port or 0),
    ):
        pass
    with pytest.raises(UsageError, match="cannot listen"), server.serve(tmp_path, port=70000):
        pass


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_missing_package_names_the_extra(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(MissingExtra, match=rf"{package} is not installed.*enormous\[view\]"),
        server.serve(tmp_path),
    ):
        pass


@contextlib.contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "enormous.view.server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # as in a terminal: a shell that runs the tests in the background ignores SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_command_prints_its_address_and_ends_quietly_on_interrupt(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(1 << 30)
    with command(str(tmp_path), "--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
        assert ask(address.rstrip("/"), "/")[::2] == (200, b"hello")
        # a browser with connections open, one of them in the middle of a large file
        idle, busy = (http.client.HTTPConnection(urlsplit(address).netloc) for _ in range(2))
        idle.connect()
        busy.request("GET", "/large")
        assert len(busy.getresponse().read(10)) == 10
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")
        idle.close()
        busy.close()


def test_command_takes_a_free_port_where_the_default_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.serve(tmp_path) as taken:
        monkeypatch.setattr(server, "DEFAULT_PORT", urlsplit(taken).port)
        with server._listen_somewhere() as listener:
            assert listener.getsockname()[0] == "127.0.0.1"
            assert server._address(listener) != taken
        assert server.main([str(tmp_path), "--port", str(urlsplit(taken).port)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot listen on")
    assert error.count("\n") == 1


def test_module_loads_no_server_package_until_it_serves() -> None:
    code = (
        "import sys, enormous.view.server;"
        "sys.exit(bool({'starlette', 'uvicorn', 'anyio'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
