"""Downloads of the real scans, from a loopback server that misbehaves on purpose."""

import hashlib
import io
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from enormous.errors import DataError, MissingExtra, UsageError
from enormous.samples import real

pytest.importorskip("pooch")

HEART = real.SOURCES["heart"].file
TWIN = "make its twin: enormous sample heart OUT"
IMAGE = np.arange(6 * 5 * 4, dtype="<u2").reshape(6, 5, 4)


def archive(
    folder: str = f"{HEART}/", extra: Callable[[zipfile.ZipFile], Any] | None = None
) -> bytes:
    """A zip file of a small Zarr v2 array in `folder`, and what `extra` adds."""
    store = zarr.storage.MemoryStore()
    zarr.create_array(store, data=IMAGE, chunks=(3, 3, 3), zarr_format=2)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for key, value in store._store_dict.items():
            zipped.writestr(f"{folder}{key}", value.to_bytes())
        if extra is not None:
            extra(zipped)
    return buffer.getvalue()


def symlink(zipped: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo(f"{HEART}/link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    zipped.writestr(entry, "/etc/passwd")


class Server:
    """Answers by path: a response as (status, headers, body), or a stall after them."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.stall: set[str] = set()
        self.asked: list[str] = []
        self.released = threading.Event()
        self.meeting: threading.Barrier | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if outer.meeting is not None:
                    outer.meeting.wait(30)
                status, headers, body = outer.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if self.path in outer.stall:
                    self.wfile.flush()
                    outer.released.wait(20)

            def log_message(self, *args: Any) -> None:
                """Keep the tests' output clean."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def offer(self, body: bytes, name: str = HEART, **headers: str) -> None:
        self.answers[f"/{name}.zip"] = (200, headers, body)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.released.set()
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Callable[..., Path]:
    def fetch(name: str = "heart", **options: Any) -> Path:
        given = {"base_url": server.url, "cache": tmp_path / "cache", "timeout": 5.0}
        return real.fetch(name, **(given | options))

    return fetch


def refused(fetch: Callable[..., Path], tmp_path: Path, **options: Any) -> str:
    """Fetch, which must fail with one line and leave nothing; return the line."""
    with pytest.raises(DataError) as caught:
        fetch(**options)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache"]  # nothing outside either
    return str(caught.value)


@pytest.mark.parametrize("folder", [f"{HEART}/", ""])
def test_a_scan_is_downloaded_once(server: Server, fetch: Any, folder: str) -> None:
    server.offer(archive(folder, lambda z: z.writestr("__MACOSX/x", "y") if folder else None))
    path = fetch()
    assert path.name == HEART
    np.testing.assert_array_equal(zarr.open_array(path, mode="r")[...], IMAGE)
    assert sorted(p.name for p in path.parent.iterdir()) == [HEART, f"{HEART}.json"]
    assert fetch() == path
    assert server.asked == [f"/{HEART}.zip"]


def test_what_was_trusted_is_written_down_and_holds(
    server: Server, fetch: Any, tmp_path: Path
) -> None:
    body = archive()
    server.offer(body)
    path = fetch()
    origin = json.loads((tmp_path / "cache" / f"{HEART}.json").read_text())
    assert origin["trusted"] == "first use"
    assert origin["size"] == len(body)
    assert origin["sha256"] == hashlib.sha256(body).hexdigest()

    (path / ".zarray").unlink()
    path.rename(tmp_path / "elsewhere")  # the data are gone, what is known of them is not
    server.offer(archive(extra=lambda z: z.writestr(f"{HEART}/more", "changed")))
    with pytest.raises(DataError, match="the checksum of the first download is"):
        fetch()
    server.offer(body)
    assert (fetch() / ".zarray").is_file()


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_known_hash_is_enforced(
    server: Server, fetch: Any, tmp_path: Path, algorithm: str
) -> None:
    body = archive()
    server.offer(body)
    digest = hashlib.new(algorithm, body).hexdigest()
    wrong = f"{algorithm}:{'0' * len(digest)}"
    line = refused(fetch, tmp_path, known_hash=wrong)
    assert f"its {algorithm} is {digest}, the caller's checksum is 000" in line
    path = fetch(known_hash=f"{algorithm}:{digest}")
    assert fetch(known_hash=f"{algorithm}:{digest}") == path
    with pytest.raises(DataError, match="delete it to download again"):
        fetch(known_hash=wrong)


def test_the_publishers_record_is_used(
    server: Server, fetch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = archive()
    source = replace(real.SOURCES["heart"], url=server.url, record=f"{server.url}/record")
    monkeypatch.setitem(real.SOURCES, "heart", source)
    monkeypatch.delenv("ENORMOUS_DATA_URL", raising=False)
    server.answers[f"/{HEART}.zip?download=1"] = (200, {}, body)

    def publish(digest: str) -> None:
        files = [{"key": "other.zip", "checksum": "md5:1"}]
        files.append({"key": f"{HEART}.zip", "checksum": f"md5:{digest}"})
        server.answers["/record"] = (200, {}, json.dumps({"files": files}).encode())

    publish("0" * 32)
    assert "the publisher's record is 000" in refused(fetch, tmp_path, base_url=None)
    publish(hashlib.md5(body).hexdigest())
    path = fetch(base_url=None)
    origin = tmp_path / "cache" / f"{HEART}.json"
    assert json.loads(origin.read_text())["trusted"] == "the publisher's record"

    path.rename(tmp_path / "elsewhere")
    origin.unlink()
    server.answers["/record"] = (200, {}, b"<html>moved</html>")
    fetch(base_url=None)
    assert json.loads(origin.read_text())["trusted"] == "first use"


def test_the_environment_names_a_mirror(
    server: Server, fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.offer(archive())
    monkeypatch.setenv("ENORMOUS_DATA_URL", f"{server.url}/")
    assert fetch(base_url=None).is_dir()


def test_a_truncated_download(server: Server, fetch: Any, tmp_path: Path) -> None:
    body = archive()
    server.offer(body[:-100], **{"Content-Length": str(len(body))})
    line = refused(fetch, tmp_path)
    assert "the connection broke off" in line
    assert TWIN in line


@pytest.mark.parametrize("body", [archive()[:-100], b"<html>log in first</html>", b""])
def test_no_whole_zip_archive(server: Server, fetch: Any, tmp_path: Path, body: bytes) -> None:
    server.offer(body)
    assert "is not a whole zip archive" in refused(fetch, tmp_path)


def test_a_damaged_chunk(server: Server, fetch: Any, tmp_path: Path) -> None:
    body = bytearray(archive())
    entry = zipfile.ZipFile(io.BytesIO(body)).infolist()[-1]
    body[entry.header_offset + 30 + len(entry.filename) + 2] ^= 0xFF
    server.offer(bytes(body))
    assert "is not a whole zip archive" in refused(fetch, tmp_path)


def test_a_server_that_stalls(server: Server, fetch: Any, tmp_path: Path) -> None:
    body = archive()
    server.offer(body[:500], **{"Content-Length": str(len(body))})
    server.stall.add(f"/{HEART}.zip")
    line = refused(fetch, tmp_path, timeout=0.3)
    assert "no answer for 0.3 s" in line
    assert TWIN in line


def test_no_server_and_no_file(server: Server, fetch: Any, tmp_path: Path) -> None:
    assert "the server answered 404" in refused(fetch, tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    line = refused(fetch, tmp_path, base_url=nobody)
    assert "no connection" in line
    assert TWIN in line
    line = refused(fetch, tmp_path, base_url=nobody, name="dense")
    assert "enormous sample dense OUT" in line


@pytest.mark.parametrize(
    "evil", ["../evil", f"{HEART}/../../evil", "/tmp/evil", "C:/evil", f"{HEART}\\..\\evil"]
)
def test_an_entry_that_leads_out(server: Server, fetch: Any, tmp_path: Path, evil: str) -> None:
    server.offer(archive(extra=lambda zipped: zipped.writestr(evil, "evil")))
    assert "nothing was unpacked" in refused(fetch, tmp_path)


def test_a_link_and_a_file_in_the_way(server: Server, fetch: Any, tmp_path: Path) -> None:
    server.offer(archive(extra=symlink))
    assert "nothing was unpacked" in refused(fetch, tmp_path)
    server.offer(archive(extra=lambda zipped: zipped.writestr(f"{HEART}/.zarray/x", "y")))
    assert "cannot store" in refused(fetch, tmp_path)
    server.offer(archive("another.zarr/"))
    assert f"holds no Zarr folder {HEART}" in refused(fetch, tmp_path)


def test_more_than_the_disk_holds(
    server: Server, fetch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.offer(archive())
    usage = real.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(real.shutil, "disk_usage", lambda path: usage._replace(free=10))
    assert "GB" in refused(fetch, tmp_path)


def test_threads_share_one_download(server: Server, fetch: Any) -> None:
    server.offer(archive())
    with ThreadPoolExecutor(6) as pool:
        paths = list(pool.map(lambda _: fetch(), range(6)))
    assert len(set(paths)) == 1
    assert len(server.asked) == 1


def test_processes_do_not_disturb_each_other(server: Server, tmp_path: Path) -> None:
    server.offer(archive())
    server.meeting = threading.Barrier(2)  # no answer before both have asked
    code = "import sys; from enormous.samples import real; real.fetch('heart', cache=sys.argv[1])"
    environment = os.environ | {"ENORMOUS_DATA_URL": server.url}
    command = [sys.executable, "-c", code, str(tmp_path / "cache")]
    workers = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert len(server.asked) == 2
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == [HEART, f"{HEART}.json"]
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "cache" / HEART, mode="r"), IMAGE)


def test_progress_goes_to_stderr(server: Server, fetch: Any, capsys: Any) -> None:
    server.offer(archive())
    fetch(progress=True)
    shown = capsys.readouterr()
    assert "heart" in shown.err
    assert shown.out == ""


def test_wrong_calls_are_one_line(fetch: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown real scan 'liver': use one of heart, dense"):
        fetch("liver")
    with pytest.raises(UsageError, match=r"use open_url\('hoa-heart'\)"):
        fetch("hoa-heart")
    with pytest.raises(UsageError, match=r"use fetch\('heart'\)"):
        real.open_url("heart")
    for bad in ("sha256:12", "crc32:00000000", "nonsense"):
        with pytest.raises(UsageError, match="is no checksum"):
            fetch(known_hash=bad)
    assert list(tmp_path.iterdir()) == []


def test_without_pooch_the_extra_is_named(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'enormous\[cloud\]'"):
        fetch()


def test_every_source_is_complete() -> None:
    for name, source in real.SOURCES.items():
        assert source.name == name
        assert source.url.startswith("https://")
        assert source.licence
        assert source.citation
        assert source.twin in ("heart", "dense", "sparse")
    opened = [name for name, source in real.SOURCES.items() if source.how == "open"]
    assert [real.open_url(name) for name in opened] == [real.SOURCES[n].url for n in opened]
    assert os.path.basename(real.open_url("idr-6001240")) == "6001240.zarr"
