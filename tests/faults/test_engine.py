"""Runs that are killed, interrupted or short of disk: nothing is lost, nothing is repeated."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest

ENGINE = Path(__file__).parents[1] / "engine"
sys.path.insert(0, str(ENGINE))

import toy  # noqa: E402

from enormous.engine import run  # noqa: E402
from enormous.engine.unfinished import find  # noqa: E402
from enormous.errors import DataError  # noqa: E402

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ENGINE / "commands.py"), *map(str, arguments)]


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def call(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=120, **options
    )


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def recorded(out: Path) -> set[str]:
    """Names of the blocks in the journal, as the toy marks them."""
    return {
        f"{stage + 1}-{block}"
        for stage, done in enumerate(find(out).journal.done())
        for low, high in done
        for block in range(low, high)
    }


def marked(folder: Path) -> Counter[str]:
    return Counter(path.name.split(".")[0] for path in folder.iterdir())


def processes_with(word: str) -> list[int]:
    """Running processes that have a word in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:  # gone meanwhile
            continue
    return found


def group_exists(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def same_bytes(a: Path, b: Path) -> bool:
    """Equal but for the time of the plan, which is the first line of the list."""
    first, second = toy.tree(a), toy.tree(b)
    lists = [t.pop("list.txt").decode().split("\n")[1:] for t in (first, second)]
    return first == second and lists[0] == lists[1]


@posix_only
@pytest.mark.parametrize(
    "scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_after_a_kill_at_any_moment_the_same_bytes_and_nothing_twice(
    tmp_path: Path, scheduler: str
) -> None:
    out, marks = tmp_path / "out", tmp_path / "marks"
    marks.mkdir()
    call_of_it = ("toy", out, "--pause", 0.03, "--marks", marks, "--rows", 12, "--scheduler",
                  scheduler, "--workers", 2)  # fmt: skip
    chance = random.Random(1)
    before: set[str] = set()
    kills = 0
    while not out.exists():
        counted = marked(marks)
        process = start(*call_of_it, *(["--resume"] if kills else []))
        wait_for(lambda: marked(marks) != counted or process.poll() is not None)  # noqa: B023
        time.sleep(chance.uniform(0, 0.25))
        process.kill()
        process.communicate()
        if out.exists():
            break
        kills += 1
        assert not [c for c in (marked(marks) - counted) if c in before]  # done is done
        before = recorded(out)
    assert kills >= 2
    assert not list(tmp_path.glob(".out.*")) or call("finish", out).returncode == 0
    run(toy.plan(tmp_path / "whole", (12, 10)))
    assert same_bytes(out, tmp_path / "whole")
    wait_for(lambda: not processes_with(str(tmp_path)))  # workers end with who started them


@posix_only
@pytest.mark.parametrize("scheduler", ["threads", "processes", "sync"])
def test_ctrl_c_leaves_nothing_under_out_and_can_be_resumed(tmp_path: Path, scheduler: str) -> None:
    out, marks = tmp_path / "out", tmp_path / "marks"
    marks.mkdir()
    arguments = ("toy", out, "--pause", 0.1, "--marks", marks, "--workers", 2, "--scheduler",
                 scheduler)  # fmt: skip
    process = start(*arguments, start_new_session=True)
    wait_for(lambda: len(marked(marks)) > 4)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    began = time.monotonic()
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - began < 15  # on a busy machine; blocks look every 2 ms
    assert process.returncode == 130
    (line,) = stderr.splitlines()
    found = re.match(r"error: interrupted; (\d+) of 19 blocks are done and kept: .*--resume", line)
    assert found is not None, line
    assert stdout == ""
    assert not out.exists()
    wait_for(lambda: not group_exists(process.pid), 5)  # multiprocessing's helper goes last
    done = call(*arguments, "--resume", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["resumed_blocks"] == int(found[1])
    assert sorted(os.listdir(tmp_path)) == ["marks", "out"]


@posix_only
def test_an_interruption_before_the_first_block_leaves_nothing(tmp_path: Path) -> None:
    process = start("toy", tmp_path / "a" / "out", "--pause", 30)
    wait_for(lambda: list(tmp_path.glob("a/.out.partial-*/squares")))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, os.listdir(tmp_path)) == (130, [])
    assert stderr == "error: interrupted; nothing half-written is left\n"


@posix_only
def test_a_worker_process_that_is_killed_is_one_line(tmp_path: Path) -> None:
    out, marks = tmp_path / "out", tmp_path / "marks"
    marks.mkdir()
    arguments = ("toy", out, "--fate", "kill", "--at", 9, "--marks", marks, "--scheduler",
                 "processes", "--workers", 1)  # fmt: skip
    failed = call(*arguments)
    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert "worker process has ended abruptly" in line
    assert "memory" in line
    assert "9 of 19 blocks are done and kept" in line
    assert call(*arguments, "--resume").returncode == 0
    assert {n for n, times in marked(marks).items() if times > 1} == {"1-9"}


def test_what_passes_is_tried_again_what_stays_is_not(tmp_path: Path) -> None:
    out, marks = tmp_path / "out", tmp_path / "marks"
    marks.mkdir()
    (tmp_path / "none").mkdir()
    run(toy.plan(out, fate="transient", at=3, marks=str(marks)))
    assert marked(marks)["1-3"] == 2
    shutil.rmtree(marks)
    marks.mkdir()
    with pytest.raises(ValueError, match="no status"):
        run(toy.plan(tmp_path / "x", fate="usage", at=3, marks=str(marks)))
    assert marked(marks)["1-3"] == 1


@pytest.mark.parametrize(
    ("fate", "words"),
    [("full", "no space left while writing"), ("memory", "use fewer workers or smaller shards")],
)
def test_what_the_machine_lacks_is_one_line(tmp_path: Path, fate: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        run(toy.plan(tmp_path / "out", fate=fate, at=5), scheduler="sync")
    assert words in str(caught.value)
    assert "5 of 19 blocks are done and kept" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_certainly_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not enough space"):
        run(toy.plan(tmp_path / "out", certain_bytes=10**18))
    assert os.listdir(tmp_path) == []


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import runpy; sys.argv.pop(0); sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@posix_only
def test_a_file_that_may_not_grow_is_one_line(tmp_path: Path) -> None:
    """The system stops a write half-way as it does on a full disk, which has another remedy."""
    out = tmp_path / "out"
    arguments = ("toy", out, "--rows", 1000)
    for limit, kept in ((40, False), (5_000, True)):  # the plan; the record of the run
        limited = [sys.executable, "-c", LIMITED, str(limit), *command(*arguments)[1:]]
        done = subprocess.run(limited, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "larger than this system or its limits allow (ulimit -f)" in line
        assert ("--resume" in line) == kept
        assert bool(os.listdir(tmp_path)) == kept
    found = len(recorded(out))
    assert 500 < found < 2000
    done = call(*arguments, "--resume", "--json")
    assert json.loads(done.stdout)["resumed_blocks"] == found
    run(toy.plan(tmp_path / "whole", (1000, 10)))
    assert same_bytes(out, tmp_path / "whole")


@pytest.mark.skipif(os.name != "posix" or not os.getuid(), reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(DataError, match="not permitted"):
        run(toy.plan(tmp_path / "closed" / "out"))


EATING = """
import resource, sys
import numpy, toy
from enormous.engine import run
plan = toy.hungry_plan(sys.argv[1], 40, 100_000_000, 30_000_000)
workers = int(sys.argv[2])
limit = plan.peak_bytes(workers) - int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
run(plan, workers=workers)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits bind on Linux only")
@pytest.mark.parametrize("workers", [1, 3])
def test_memory_stays_under_what_the_plan_says(tmp_path: Path, workers: int) -> None:
    """4 GB in blocks, under a limit of 530 or 790 MB; with too low a limit, one line."""
    environment = {**os.environ, "PYTHONPATH": str(ENGINE), "OPENBLAS_NUM_THREADS": "1"}

    def eat(less: int) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", EATING, str(tmp_path / "out"), str(workers), str(less)]
        return subprocess.run(
            arguments, capture_output=True, text=True, check=False, env=environment
        )

    failed = eat(450_000_000)
    assert failed.returncode == 1
    assert "use fewer workers or smaller shards" in failed.stderr.splitlines()[-1]
    done = eat(0)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_cluster_that_loses_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    marks = tmp_path / "marks"
    marks.mkdir()
    run(toy.plan(tmp_path / "whole", (20, 10)))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        plan = toy.plan(tmp_path / "out", (20, 10), pause=0.1, marks=str(marks))

        class Kill:
            """Kills a worker after the fifth and the fifteenth block."""

            blocks = 0
            killed: ClassVar[set[int]] = set()

            def begin(self, title: str, total: int, done: int) -> None: ...

            def advance(self, nbytes: int) -> None:
                Kill.blocks += 1
                if Kill.blocks in (5, 14):
                    nanny = cluster.workers[Kill.blocks % 2]
                    Kill.killed.add(nanny.pid)
                    os.kill(nanny.pid, signal.SIGKILL)

            def end(self) -> None: ...

        done = run(plan, scheduler=client, progress=Kill())
        assert done.blocks == plan.blocks
        assert len(Kill.killed) == 2
        assert same_bytes(tmp_path / "out", tmp_path / "whole")
        assert not list(tmp_path.glob(".out.*"))
        # by its address; with a block that fails: nobody goes on, what was done is kept
        before = marked(marks)
        with pytest.raises(RuntimeError, match="power cut") as caught:
            run(
                toy.plan(tmp_path / "x", (200, 10), pause=0.05, fate="error", at=30,
                         marks=str(marks)),
                scheduler=cluster.scheduler_address,
            )  # fmt: skip
        assert "blocks are done and kept" in caught.value.__notes__[0]
        made = marked(marks)
        assert 30 <= sum((made - before).values()) < 60
        time.sleep(0.5)
        assert marked(marks) == made
        assert not client.run(lambda dask_worker: [n for n in dask_worker.plugins if "enorm" in n])[
            min(client.scheduler_info()["workers"])
        ]


@pytest.mark.slow
def test_workers_that_die_with_every_try_are_one_line(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        plan = toy.plan(tmp_path / "out", fate="deadly", at=3)
        with pytest.raises(DataError, match="dask workers were lost again and again") as caught:
            run(plan, scheduler=client, workers=1)
        assert "3 of 19 blocks are done and kept" in str(caught.value)
