"""The smaller parts of the engine: retries, records, progress, prices, pools."""

from __future__ import annotations

import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

from enormous.engine import pricing, run
from enormous.engine.journal import Journal
from enormous.engine.pool import Stop, Stopped, run_on
from enormous.engine.progress import Notebook, Rate, Silent, Terminal, where_seen
from enormous.engine.retry import attempt, transient
from enormous.engine.work import Work
from enormous.errors import DataError, UsageError


class Impatient(Stop):
    """Notes the pauses instead of making them."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.check()


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def biting_its_tail() -> Exception:
    error = DataError("x")
    return caused(error, error)


def obstore_error(name: str) -> Exception:
    import obstore.exceptions

    error: Exception = getattr(obstore.exceptions, name)("503 Service Unavailable")
    return error


PASSING = [
    ConnectionResetError("gone"), TimeoutError("slow"), OSError(116, "stale"), OSError(11, "busy"),
    ValueError("UNAVAILABLE: CURL error"), ValueError("DEADLINE_EXCEEDED: x"),
    obstore_error("GenericError"), caused(DataError("a.tif"), ConnectionResetError()),
]  # fmt: skip
STAYING = [
    OSError(28, "full"), FileNotFoundError(2, "no"), PermissionError(13, "no"), ValueError("x"),
    ValueError("INVALID_ARGUMENT: UNAVAILABLE"), MemoryError(), DataError("x"), KeyError("x"),
    biting_its_tail(), obstore_error("NotFoundError"), caused(DataError("x"), ValueError("y")),
]  # fmt: skip


@pytest.mark.parametrize("error", [*PASSING, *STAYING], ids=str)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    stop, calls = Impatient(), [0]

    def work() -> str:
        calls[0] += 1
        if calls[0] < 3:
            raise error
        return "done"

    if error in PASSING:
        assert attempt(work, stop, "block 1") == "done"
        first, second = stop.pauses
        assert 0.1 <= first <= 0.3
        assert 0.2 <= second <= 0.6
        calls[0] = -100
        with pytest.raises(DataError, match=r"^block 1: .*\(tried 5 times\)$"):
            attempt(work, stop, "block 1")
        assert calls[0] == -95
    else:
        assert not transient(error)
        with pytest.raises(type(error)) as caught:
            attempt(work, stop, "block 1")
        assert caught.value is error
        assert (calls[0], stop.pauses) == (1, [])


def test_a_stop_ends_the_waiting() -> None:
    stop = Stop()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Stopped):
        stop.sleep(30)


@given(st.data())
def test_records_are_read_back_whatever_was_cut_off(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(toy.plan(folder / "out"), folder)
    written = data.draw(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), max_size=20))
    record = journal.record()
    for stage, block in written:
        record.add(stage, block + 10 * (1 - stage))
    record.close()
    path = folder / "run.records"
    whole = path.read_bytes()
    kept = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:kept])
    lines = whole[:kept].count(b"\n")

    def numbers() -> set[tuple[int, int]]:
        done = journal.done()
        return {(s, b) for s in (0, 1) for low, high in done[s] for b in range(low, high)}

    expected = {(stage, block + 10 * (1 - stage)) for stage, block in written[:lines]}
    assert numbers() == expected
    record = journal.record("run")
    record.add(0, 15)
    record.close()
    assert numbers() == expected | {(0, 15)}


def test_what_is_no_record_counts_for_nothing(tmp_path: Path) -> None:
    journal = Journal(toy.plan(tmp_path / "out"), tmp_path)
    (tmp_path / "run.records").write_bytes(b"0 3\n\0\0\0\n0 999\n7 1\n0 4 5\n-1 2\n0 5\n")
    assert [list(done) for done in journal.done()] == [[(3, 4), (5, 6)], []]


def test_a_pool_keeps_few_in_flight_and_counts_what_ends() -> None:
    drawn: list[int] = []
    ended: list[int] = []
    running, most, lock = 0, 0, threading.Lock()

    def numbers() -> Any:
        for number in range(10**12):  # never listed
            drawn.append(number)
            yield number

    def task(number: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if number == 100:
            raise KeyError(number)
        with lock:
            running -= 1

    with ThreadPoolExecutor(4) as pool, pytest.raises(KeyError):
        run_on(pool, task, numbers(), 4, stop=Stop(), done=ended.append)
    assert most <= 4
    assert max(drawn) <= 104
    assert {*range(100)} <= {*ended} <= {*drawn} - {100}


def test_whoever_asks_to_stop_is_blamed_not_those_who_did() -> None:
    stop = Stop()
    ready = threading.Barrier(2)

    def task(number: int) -> None:
        ready.wait(10)
        if number == 0:
            stop.set()
            threading.Event().wait(0.3)  # its own error comes last
            raise KeyError("the cause")
        while True:
            stop.sleep(0.01)

    with ThreadPoolExecutor(2) as pool, pytest.raises(KeyError, match="the cause"):
        run_on(pool, task, iter(range(2)), 2, stop=stop, done=lambda _: None)


def test_what_is_kept_is_made_once_and_closed(tmp_path: Path) -> None:
    work, closed = Work(toy.plan(tmp_path / "out"), tmp_path), []

    class File:
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)

    first = work.kept("a", lambda: File("a"))
    assert work.kept("a", lambda: File("b")) is first
    work.kept("c", lambda: File("c"))
    work.kept("d", lambda: 1)
    work.close()
    work.close()
    assert closed == ["c", "a"]


class Listener(Silent):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def begin(self, title: str, total: int, done: int) -> None:
        self.told.append([title, total, done])

    def advance(self, nbytes: int) -> None:
        self.told[-1][2] += nbytes

    def end(self) -> None:
        self.told.append("end")


def test_progress_is_told_in_bytes_and_comes_to_its_end(tmp_path: Path) -> None:
    listener = Listener()
    plan = toy.plan(tmp_path / "out", fate="error", at=9)
    with pytest.raises(RuntimeError):
        run(plan, scheduler="sync", progress=listener)
    known = plan.stages[0].bytes_before(9)
    assert listener.told == [["squares", 560, known], "end"]
    listener.told.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "befall", lambda *_: None)
        run(plan, resume=True, progress=listener)
    assert listener.told == [["squares", 560, 560], ["sums", 56, 56], "end"]


def test_the_rate_leaves_out_what_was_there() -> None:
    now = [0.0]
    rate = Rate(10_000_000, 4_000_000, lambda: now[0])
    assert rate.text == "4.00 MB of 10.0 MB"
    now[0] = 10.0
    rate.advance(1_000_000)
    assert rate.text == "5.00 MB of 10.0 MB, 100 kB/s, 0:50 left"
    now[0] = 20_000.0
    assert rate.text.endswith("27:46:40 left")


def test_a_terminal_sees_bars_and_a_notebook_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(where_seen(), Silent)
    monkeypatch.setattr("sys.stderr", Tty())
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(where_seen(quiet=True), Silent)
    seen = where_seen()
    assert isinstance(seen, Terminal)
    import sys

    run(toy.plan(tmp_path / "out"), progress=seen)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sys.stderr.getvalue())  # type: ignore[attr-defined]
    assert "squares" in shown
    assert "560 bytes of 560 bytes" in shown

    lines: dict[str, list[str]] = {}

    class Handle:
        def update(self, shown: dict[str, str], raw: bool) -> None:
            lines["only"].append(shown["text/plain"])

    def display(shown: dict[str, str], raw: bool, display_id: bool) -> Handle:
        assert not lines  # one line for the whole run
        lines["only"] = [shown["text/plain"]]
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    seen = where_seen()
    assert isinstance(seen, Notebook)
    run(toy.plan(tmp_path / "out2"), progress=seen)
    assert lines["only"][0] == "squares: 0 bytes of 560 bytes"
    assert lines["only"][-1].startswith("sums: 56 bytes of 56 bytes")


def test_a_plan_is_priced(tmp_path: Path) -> None:
    plan = toy.plan(tmp_path / "out", codec="zstd:3")
    facts = json.loads(json.dumps(plan.as_dict(2), allow_nan=False))
    assert [s["blocks"] for s in facts["stages"]] == [16, 3]
    assert (facts["reads"], facts["writes"], facts["objects"]) == (560, 584, 19)
    assert facts["peak_memory_bytes"] == 400_000_000 + 2 * 2000
    assert plan.as_dict(2, processes=True)["peak_memory_bytes"] == 150e6 + 2 * 280e6 + 2 * 2000
    encode, decode = pricing.speeds("zstd:3")
    assert 1e6 < encode < decode < 1e11
    busy = min(2, pricing.workers_or_default(None))
    assert facts["time"]["seconds_at_least"] == pytest.approx((584 / encode + 560 / decode) / busy)
    assert facts["cost"]["put_usd"] == pytest.approx(19 * 0.005 / 1000)
    assert facts["cost"]["month_usd"] == pytest.approx(560e-9 * 0.023)
    assert toy.plan(tmp_path / "x").as_dict(1)["time"]["seconds_at_least"] is None
    with pytest.raises(UsageError, match="unknown codec"):
        toy.plan(tmp_path / "out", codec="zsdt").as_dict(1)


@pytest.mark.parametrize(
    ("scheduler", "workers", "what"),
    [("treads", None, "use threads, processes, sync"), ("threads", 0, "1 or more"),
     ("tcp://127.0.0.1:1", None, "no dask scheduler answers"), (object(), None, "type object")],
)  # fmt: skip
def test_schedulers_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: Any, workers: Any, what: str
) -> None:
    monkeypatch.setattr("enormous.engine.executors.dask._TIMEOUT", 1)
    with pytest.raises(UsageError, match=what):
        run(toy.plan(tmp_path / "out"), scheduler=scheduler, workers=workers)
    assert not list(tmp_path.iterdir())
