"""The command line's contract: one line for every error, its exit codes, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from counting_server import serving

import enormous
from enormous import samples
from enormous.errors import DataError
from enormous.samples import blocks

Run = Callable[..., tuple[int, str, str]]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from enormous.cli import main; main()", *map(str, arguments)]


def test_sample_writes_what_generate_makes(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "heart.zarr"
    code, stdout, stderr = run("sample", "heart", out, "--size", "tiny", "--zarr-format", 2)
    assert (code, stderr) == (0, "")
    assert stdout.count("\n") == 1
    assert "64×50×50 uint16, 1 level" in stdout
    image = zarr.open_group(str(out), mode="r")["0"]
    np.testing.assert_array_equal(image, samples.generate("heart", "tiny"))


def test_every_option_reaches_the_image(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "x.zarr"
    code, stdout, _ = run(
        "sample", "sparse", out, "--shape", "60,40,50", "--chunks", "10,20,25", "--shards",
        "20,40,50", "--codec", "zstd:5", "--levels", "2", "--seed", "7", "--workers", "2", "--json",
    )  # fmt: skip
    assert code == 0
    told = json.loads(stdout)
    code, stdout, _ = run("info", out, "--json")
    found = json.loads(stdout)
    (image,) = found["images"]
    assert (found["kind"], image["version"], image["method"]) == ("label image", "0.5", "mode")
    assert [lv["shape"] for lv in image["levels"]] == [[60, 40, 50], [30, 20, 25]]
    assert image["levels"][0]["shards"] == [20, 40, 50]
    assert image["levels"][0]["chunks"] == [10, 20, 25]
    assert {lv["codec"] for lv in image["levels"]} == {"zstd:5"}
    for key in ("voxel_size", "translation", "stored_bytes", "bytes"):
        assert [lv[key] for lv in told["levels"]] == [lv[key] for lv in image["levels"]]
    assert [lv["stored_objects"] for lv in told["levels"]] == [
        lv["objects"] for lv in image["levels"]
    ]
    np.testing.assert_array_equal(
        zarr.open_group(str(out), mode="r")["0"],
        samples.generate("sparse", shape=(60, 40, 50), seed=7),
    )


def test_a_dry_run_tells_all_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "x.zarr"
    arguments = ("sample", "heart", out, "--shape", "100000,100000,100000", "--dry-run")
    code, stdout, _ = run(*arguments)
    assert code == 0
    for word in ("reads", "writes", "objects", "peak memory", "512×512×512"):
        assert word in stdout
    code, stdout, _ = run(*arguments, "--json")
    told = json.loads(stdout)
    assert told["levels"][0]["bytes"] == 2 * 10**15
    assert {"reads", "writes", "objects", "peak_memory_bytes"} <= set(told)
    assert not os.listdir(tmp_path)


def test_quiet_is_quiet(run: Run, tmp_path: Path) -> None:
    assert run("sample", "sparse", tmp_path / "x", "--size", "tiny", "--quiet") == (0, "", "")


WRONG: list[tuple[list[str], str]] = [
    (["sample", "haert", "OUT"], "did you mean heart"),
    (["sample", "xyzzy", "OUT"], "the samples are heart, dense, sparse"),
    (["sample", "heart", "OUT", "--size", "huge"], "tiny, small, full"),
    (["sample", "heart", "OUT", "--size", "tiny", "--shape", "9,9,9"], "--shape exclude each"),
    (["sample", "heart", "OUT", "--shape", "-5,10,10"], "1 or more"),
    (["sample", "heart", "OUT", "--shape", "0,10,10"], "1 or more"),
    (["sample", "heart", "OUT", "--shape", "10,10"], "three sizes"),
    (["sample", "heart", "OUT", "--shape", "10"], "three sizes"),
    (["sample", "heart", "OUT", "--shape", "10,ten,10"], "--shape '10,ten,10' is not"),
    (["sample", "heart", "OUT", "--shape", "1e3,10,10"], "is not a size"),
    (["sample", "heart", "OUT", "--size", "tiny", "--chunks", "128"], "larger than the array"),
    (["sample", "heart", "OUT", "--chunks", "64,64,500"], "larger than the array"),
    (["sample", "heart", "OUT", "--chunks", "64,64"], "3 axes"),
    (["sample", "heart", "OUT", "--chunks", "0"], "1 or more"),
    (["sample", "heart", "OUT", "--chunks", "64", "--shards", "100"], "not a multiple of chunk"),
    (["sample", "heart", "OUT", "--shards", "64,64,64", "--zarr-format", "2"], "no shards"),
    (["sample", "heart", "OUT", "--zarr-format", "4"], "no Zarr format 4"),
    (["sample", "heart", "OUT", "--codec", "blosc-zsdt"], "use one of blosc-"),
    (["sample", "heart", "OUT", "--codec", "zstd:99"], "no level 99"),
    (["sample", "heart", "OUT", "--levels", "0"], "1 or more"),
    (["sample", "heart", "OUT", "--levels", "40"], "use at most"),
    (["sample", "heart", "OUT", "--workers", "0"], "1 or more"),
    (["sample", "heart", "OUT", "--workers", "two"], "valid integer"),
    (["sample", "heart", "OUT", "--source", "fake"], "twin"),
    (["sample", "heart", "OUT", "--source", "real", "--size", "tiny"], "one shape"),
    (["sample", "dense", "OUT", "--channels", "2"], "only the generated heart"),
    (["sample", "heart", "s3://bucket/x.zarr"], "not supported yet"),
    (["sample", "heart", "memory://x"], "written to folders"),
    (["sample", "heart", "x.zip"], "written to folders"),
    (["sample", "heart"], "Missing argument"),
    (["sample", "heart", "OUT", "--chunk", "3"], "No such option"),
    (["sampel"], "No such command 'sampel'"),
    (["--nonsense"], "No such option"),
    (["sample", "heart", "OUT", "--source", "real", "--seed", "4"], "has no seed"),
    (["info"], "Missing argument"),
    (["info", "OUT", "--quiet"], "No such option"),
    (["info", "OUT"], "does not exist"),
    (["info", "ftp://x/y.zarr"], "unknown scheme"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_call_is_one_line_and_exit_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = run(*[str(tmp_path / "a/b") if a == "OUT" else a for a in arguments])
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert says in stderr
    assert not os.listdir(tmp_path)


def test_an_output_in_the_way_is_left_alone(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "x.zarr"
    run("sample", "sparse", out, "--size", "tiny")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    file = tmp_path / "x.zarr" / "zarr.json"
    for wrong in (out, out / "0", out / "0" / "c" / "new.zarr", file, file / "below"):
        code, stdout, stderr = run("sample", "dense", wrong, "--size", "tiny")
        assert (code, stdout, stderr.count("\n")) == (2, "", 1), stderr
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    code, _, _ = run("sample", "dense", out, "--size", "tiny", "--overwrite")
    assert code == 0
    assert np.asarray(zarr.open_group(str(out), mode="r")["0"]).min() > 0
    assert os.listdir(tmp_path) == ["x.zarr"]


def test_a_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        folder = Path("/proc/self")  # even root may not write here
    else:
        folder = tmp_path / "mine"
        folder.mkdir(mode=0o500)
    code, stdout, stderr = run("sample", "sparse", folder / "x.zarr", "--size", "tiny")
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert "x.zarr" in stderr or str(folder) in stderr
    assert "run again with --debug" not in stderr  # it was foreseen


def test_what_nobody_foresaw_is_one_line_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(samples, "plan", fails, raising=False)
    code, _, stderr = run("sample", "heart", tmp_path / "x")
    assert code == 1
    assert (
        stderr == "error: ZeroDivisionError: two lines (run again with --debug for the details)\n"
    )
    code, _, stderr = run("sample", "heart", tmp_path / "x", "--debug")
    assert code == 1
    assert "Traceback" in stderr
    code, _, stderr = run("info", tmp_path)  # the flag does not stick
    assert "Traceback" not in stderr


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are POSIX")
def test_a_limit_on_files_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    import resource

    samples.generate("heart", "tiny")  # compile now: numba's cache must not meet the limit
    done = subprocess.run(
        command("sample", "heart", tmp_path / "a" / "x.zarr", "--size", "tiny"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert "ulimit -f" in done.stderr
    assert not os.listdir(tmp_path)


def begun(folder: Path, *arguments: object, name: str = "x.zarr") -> subprocess.Popen[str]:
    """A long run whose first block, of two gigabytes, is on its way to the disk."""
    size = ("--shape", "2000,1024,1024", "--chunks", 64, "--shards", 1024)
    process = subprocess.Popen(
        command("sample", "sparse", folder / name, *size, *arguments),
        stderr=subprocess.PIPE,
        text=True,
    )
    started = time.monotonic()
    while not list(folder.glob(f".{name}.partial-*/0/c")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - started < 120
        time.sleep(0.05)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize(
    ("signals", "workers"),
    [(["SIGINT"], 1), (["SIGINT"] * 3, 2), (["SIGTERM"], 2), (["SIGHUP", "SIGINT"], 2)],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_an_interruption_stops_at_once_and_leaves_nothing(
    tmp_path: Path, signals: list[str], workers: int
) -> None:
    process = begun(tmp_path / "a", "--workers", workers)
    for name in signals:
        process.send_signal(getattr(signal, name))
        time.sleep(0.25)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == "error: interrupted; nothing half-written is left\n"
    assert not os.listdir(tmp_path)


def test_what_a_killed_run_left_is_named(run: Run, tmp_path: Path) -> None:
    process = begun(tmp_path, "--workers", 1)
    process.kill()
    process.communicate(timeout=60)
    left = sorted(tmp_path.iterdir())
    arguments = ("sample", "sparse", tmp_path / "x.zarr", "--size", "tiny")
    code, _, stderr = run(*arguments)
    assert (code, stderr.count("\n")) == (0, 2)
    for line, path in zip(stderr.splitlines(), left, strict=True):
        assert line.startswith(f"warning: {path} is left of another call")
        assert path.exists()  # it may be of one that still goes on
    assert run(*arguments, "--overwrite", "--quiet") == (0, "", "")
    assert run("sample", "sparse", tmp_path / "zarr", "--size", "tiny")[2] == ""


def tree(top: Path) -> dict[str, bytes]:
    return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}


def test_a_sample_goes_on_and_is_made_in_shares(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--shape", "60,40,50", "--chunks", 10, "--shards", 20, "--codec", "none")
    whole, resumed, shares = (tmp_path / name for name in ("whole", "resumed", "shares"))
    assert run("sample", "heart", whole, *options, "--quiet") == (0, "", "")
    monkeypatch.setattr("enormous.create.stages.BLOCK_BYTES", 20**3 * 2)  # a block for each shard
    real, calls = blocks.one_block, iter(range(100))

    def fails_later(*arguments: Any, **given: Any) -> Any:
        if next(calls) == 30:
            raise DataError("broken")
        return real(*arguments, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "one_block", fails_later)
        code, _, stderr = run("sample", "heart", resumed, *options, "--workers", 1)
    assert code == 1
    assert re.fullmatch(r"error: broken; 4 of 23 blocks are done and kept: .*--resume.*\n", stderr)
    code, stdout, _ = run("sample", "heart", resumed, *options, "--resume", "--json")
    assert (code, json.loads(stdout)["resumed_blocks"]) == (0, 4)
    _, stdout, _ = run("sample", "heart", shares, *options, "--dry-run", "--json")
    for stage in range(1, len(json.loads(stdout)["stages"]) + 1):
        for share in ("2/2", "1/2"):
            call = ("sample", "heart", shares, *options, "--stage", stage, "--share", share)
            assert run(*call, "--quiet") == (0, "", "")
    assert not shares.exists()
    assert run("finish", shares, "--quiet") == (0, "", "")
    assert tree(resumed) == tree(shares) == tree(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_nohup_is_heeded(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal\n"
            "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
            "from enormous import cli\n"
            "cli.app = lambda *_, **__: os.kill(os.getpid(), signal.SIGHUP)\n"
            "cli.main()",
        ],
        check=False,
    )
    assert done.returncode == 0


def test_info_shows_arrays_groups_and_what_is_not_zarr(run: Run, tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "g.zarr")
    array = group.create_array("deep/a", shape=(8, 8), chunks=(4, 4), dtype="float32")
    array[:4] = np.random.default_rng(0).random((4, 8))
    code, stdout, _ = run("info", tmp_path / "g.zarr")
    assert code == 0
    assert "group, Zarr format 3" in stdout
    (line,) = [line for line in stdout.splitlines() if line.startswith("deep/a")]
    assert line.split()[1:3] == ["8×8", "4×4"]
    assert "  float32, zstd:0\n" in stdout
    assert "2 of 4" in line  # chunks of nothing but the fill value are not stored
    code, stdout, _ = run("info", tmp_path / "g.zarr" / "deep" / "a", "--json")
    assert (code, json.loads(stdout)["kind"]) == (0, "array")
    code, stdout, stderr = run("info", tmp_path)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert "is not Zarr" in stderr


def test_info_of_an_image_in_words(run: Run, tmp_path: Path) -> None:
    run("sample", "heart", tmp_path / "x", "--size", "tiny", "--channels", 2, "--chunks", 32)
    code, stdout, _ = run("info", tmp_path / "x")
    assert code == 0
    assert "z: 64 voxels of 2526.81 micrometer, 161716 in all" in stdout
    assert "c: 2 steps\n" in stdout
    assert "levels by mean" in stdout
    assert "  uint16, blosc-zstd:3:shuffle\n" in stdout
    assert max(map(len, stdout.splitlines()[1:])) <= 80


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_terminal_of_80_columns_cuts_nothing_off(tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    layout: dict[str, Any] = {"chunks": 16, "shards": 64, "levels": 3}
    samples.run("sparse", tmp_path / "x", shape=(150, 120, 130), **layout)
    terminal, stdout = pty.openpty()
    fcntl.ioctl(stdout, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(command("info", tmp_path / "x"), stdout=stdout, env=environment)
    os.close(stdout)
    written = b""
    try:
        while more := os.read(terminal, 65536):
            written += more
    except OSError:  # EIO: the other end is closed
        pass
    os.close(terminal)
    assert process.wait(60) == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", written.decode())
    assert "64×64×64" in text
    assert "…" not in text
    assert max(map(len, text.splitlines()[1:])) <= 80


def test_a_group_on_a_plain_server_has_no_listing(run: Run, tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "g.zarr").create_array("a", shape=(4,), dtype="uint8")
    with serving(tmp_path) as served:
        code, stdout, stderr = run("info", f"{served.url}/g.zarr")
        assert (code, stderr) == (0, "")
        assert stdout.splitlines()[1:] == [
            "a plain server cannot be listed; give the address of an array or image"
        ]
        _, stdout, _ = run("info", f"{served.url}/g.zarr", "--json")
        assert json.loads(stdout)["arrays"] is None
        _, stdout, _ = run("info", f"{served.url}/g.zarr/a", "--json")
        assert len(json.loads(stdout)["arrays"]) == 1


@pytest.mark.slow
def test_info_over_http_ends_with_its_promised_exit_code(tmp_path: Path) -> None:
    samples.run("sparse", tmp_path / "x.zarr", size="tiny")
    with serving(tmp_path) as served:
        for name, code in [("x.zarr", 0), ("nothing.zarr", 1)] * 20:
            done = subprocess.run(
                command("info", f"{served.url}/{name}"), capture_output=True, text=True, check=False
            )
            assert done.returncode == code, done
            assert done.stdout.count("\n") == (9 if code == 0 else 0)
            assert done.stderr.count("\n") == (0 if code == 0 else 1)


@pytest.mark.parametrize("name", ["-m enormous", "enormous"])
def test_the_program_by_each_name(name: str, tmp_path: Path) -> None:
    start = [sys.executable, *name.split()] if " " in name else [shutil.which(name)]
    if None in start:
        pytest.skip("the script is not on the path")
    done = subprocess.run([*start, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"enormous {enormous.__version__}\n")
    done = subprocess.run([*start, "info", str(tmp_path)], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_info_names_what_differs_from_array_to_array_in_the_table(run: Run, tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "g.zarr")
    for dtype in ("uint8", "float32"):
        group.create_array(dtype, shape=(4,), chunks=(2,), dtype=dtype)
    _, stdout, _ = run("info", tmp_path / "g.zarr")
    rows = [line.split() for line in stdout.splitlines() if line.startswith(("uint8", "float32"))]
    assert sorted(row[:2] for row in rows) == [["float32", "float32"], ["uint8", "uint8"]]
    assert "  zstd:0\n" in stdout


def test_the_published_scan_without_a_network_names_the_twin(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # free again in a moment, and nobody answers there
    monkeypatch.setenv("ENORMOUS_DATA_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, stdout, stderr = run("sample", "heart", tmp_path / "x.zarr", "--source", "real")
    assert (code, stdout, stderr.count("\n")) == (1, "", 1), stderr
    assert "enormous sample heart" in stderr
    assert not (tmp_path / "x.zarr").exists()


def test_progress_is_for_terminals_and_an_error_begins_a_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    arguments = ("sample", "sparse", tmp_path / "x", "--size", "tiny", "--chunks", 32)
    code, _, stderr = run(*arguments, "--shards", "none", "--workers", 1)
    assert code == 0
    assert "generate sparse: levels 0 to 1" in stderr
    real, calls = blocks.one_block, iter(range(100))

    def fails_later(*given: Any, **options: Any) -> Any:
        if next(calls) == 2:  # the first is that of the preparation
            raise DataError("broken")
        return real(*given, **options)

    monkeypatch.setattr(blocks, "one_block", fails_later)
    code, _, stderr = run(*arguments, "--overwrite", "--shards", "none", "--workers", 1)
    assert code == 1
    last = stderr.splitlines()[-1]
    assert re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", last) == "error: broken"


def test_a_generator_that_is_being_compiled_is_waited_for_with_a_word(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("enormous.samples.write._PATIENCE", 0.01)

    def slow(*_: Any, **__: Any) -> int:
        time.sleep(1)
        return 0

    monkeypatch.setattr(blocks, "one_block", slow)
    code, _, stderr = run("sample", "sparse", tmp_path / "x", "--size", "tiny")
    assert code == 0
    assert stderr.startswith("preparing the generator (the first run ever compiles it)...\n")


def test_version_and_help(run: Run) -> None:
    assert run("--version") == (0, f"enormous {enormous.__version__}\n", "")
    code, stdout, _ = run("--help")
    assert code == 0
    assert "sample" in stdout
    assert "info" in stdout
    assert run()[0] == 2


def test_help_loads_nothing_heavy() -> None:
    heavy = ("numpy", "zarr", "numba", "tensorstore", "obstore", "rich", "asyncio")
    script = (
        "import sys, enormous.cli\n"
        "try: enormous.cli.main(['sample', '--help'])\n"
        f"except SystemExit: print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"
