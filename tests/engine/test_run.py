"""run.py: every scheduler and any shares give the same bytes; what is done is never redone."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import enormous
from enormous.engine import Plan, Stage, finish, run
from enormous.engine.output import explain
from enormous.engine.unfinished import find
from enormous.errors import DataError, UsageError
from enormous.grid import Tiling

MADE = "2026-01-01T00:00:00+00:00"  # for plans whose bytes are compared


def dated(plan: Plan) -> Plan:
    return replace(plan, created=MADE)


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, bytes]:
    run(dated(toy.plan(tmp_path / "expected")), scheduler="sync")
    return toy.tree(tmp_path / "expected")


def beside(out: Path) -> list[str]:
    return sorted(name for name in os.listdir(out.parent) if name.startswith(f".{out.name}."))


def test_an_output_holds_what_its_definition_says(expected: dict[str, bytes]) -> None:
    rows = [[(1000 * y + x) ** 2 for x in range(10)] for y in range(7)]
    first = "\n".join(" ".join(map(str, row[:3])) for row in rows[:2])
    assert expected["squares/0"].decode() == first
    assert expected["sums/2"].decode() == str(sum(map(sum, rows)) + 2)
    assert len(expected) == 16 + 3 + 1
    assert enormous.run is run


@pytest.mark.parametrize("scheduler", ["threads", "processes", "sync"])
@pytest.mark.parametrize("workers", [1, 3, 40])
def test_every_scheduler_gives_the_same_bytes(
    tmp_path: Path, expected: dict[str, bytes], scheduler: str, workers: int
) -> None:
    if scheduler == "processes" and workers == 40:
        pytest.skip("40 processes prove no more than 3")
    out = tmp_path / "new" / "out"
    done = run(dated(toy.plan(out)), scheduler=scheduler, workers=workers)
    assert toy.tree(out) == expected
    assert os.listdir(out.parent) == ["out"]
    assert (done.blocks, done.resumed, done.nbytes) == (19, 0, 8 * 70 + 8 * 7)


def test_another_plan_another_hash_another_place_the_same(tmp_path: Path) -> None:
    plan = toy.plan(tmp_path / "a")
    same = (toy.plan(tmp_path / "b"), toy.plan(tmp_path / "a", overwrite=True), dated(plan))
    assert {other.hash for other in same} == {plan.hash}
    others = (
        toy.plan(tmp_path / "a", factor=2),
        toy.plan(tmp_path / "a", tile=(2, 4)),
        replace(plan, operation="joy"),
        replace(plan, stages=plan.stages[:1]),
        replace(plan, stages=(replace(plan.stages[0], detail=1), plan.stages[1])),
        replace(plan, stages=(replace(plan.stages[0], function=toy.total), plan.stages[1])),
    )
    assert len({plan.hash, *(other.hash for other in others)}) == 7


shares = st.lists(st.integers(1, 20), min_size=2, max_size=2)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(shares, st.randoms(use_true_random=False))
def test_any_shares_in_any_order_give_the_same_bytes(
    tmp_path: Path, expected: dict[str, bytes], counts: list[int], chance: random.Random
) -> None:
    out = tmp_path / str(time.monotonic_ns())
    made = 0
    for stage, n in enumerate(counts, 1):
        order = list(range(1, n + 1))
        chance.shuffle(order)
        for i in order:
            # each with a time of its own, as in other processes: the first one's counts
            plan = replace(toy.plan(out), created=MADE if stage == 1 and i == order[0] else "")
            made += run(plan, scheduler="sync", stage=stage, share=(i, n)).blocks
        assert not out.exists()
    assert finish(out).resumed == made == 19
    assert toy.tree(out) == expected
    assert not beside(out)


def test_shares_out_of_order_are_told_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = toy.plan(out)
    with pytest.raises(UsageError, match=r"stage 1 \(squares\): 16 of 16 blocks missing"):
        run(plan, stage=2)
    assert os.listdir(tmp_path) == []
    with pytest.raises(UsageError, match="nothing unfinished"):
        finish(out)
    run(plan, stage=1, share=(2, 4))
    run(plan, stage=1, share=(4, 4))
    with pytest.raises(UsageError, match=r"8 of 16 blocks missing \(shares 1/4, 3/4\)"):
        run(plan, stage=2, share=(1, 2))
    with pytest.raises(DataError, match=r"shares 1/4, 3/4"):
        finish(out)
    assert run(plan, stage=1, share=(2, 4)).blocks == 0  # done is done
    done = run(plan, resume=True)
    assert (done.blocks, done.resumed) == (11, 8)
    assert not beside(out)


@pytest.mark.parametrize(
    ("stage", "share", "what"),
    [(0, None, "no stage 0"), (3, None, "no stage 3"), (None, (1, 2), "give the stage"),
     (1, (0, 2), "no share 0/2"), (1, (3, 2), "no share 3/2"), (1, (1, 0), "no share 1/0")],
)  # fmt: skip
def test_shares_that_are_none(tmp_path: Path, stage: Any, share: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        run(toy.plan(tmp_path / "out"), stage=stage, share=share)
    assert os.listdir(tmp_path) == []


def test_a_failed_run_is_kept_and_goes_on(tmp_path: Path) -> None:
    out, marks = tmp_path / "out", tmp_path / "marks"
    marks.mkdir()
    plan = dated(toy.plan(out, fate="error", at=9, marks=str(marks)))
    with pytest.raises(RuntimeError, match="power cut") as caught:
        run(plan, workers=2)
    (note,) = caught.value.__notes__
    recorded = sum(map(len_of, find(out).journal.done()))
    assert f"{recorded} of 19 blocks are done and kept" in note
    assert "--resume" in note
    assert not out.exists()
    assert len(beside(out)) == 2
    before = {path.name.split(".")[0] for path in marks.iterdir()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "befall", lambda *_: None)  # the cause is mended
        later = replace(plan, created="later")
        done = run(later, resume=True)
    assert done.plan.created == MADE  # same plan, same bytes
    assert (done.blocks, done.resumed) == (19 - recorded, recorded)
    assert (out / "list.txt").read_text().startswith(MADE)
    assert not beside(out)
    again = [p for p in marks.iterdir() if p.name.split(".")[0] in before]
    assert len(again) <= len(before) + 2  # only what was in the making


def len_of(intervals: Any) -> int:
    return sum(high - low for low, high in intervals)


def test_a_fresh_run_starts_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError):
        run(toy.plan(out, fate="error", at=9), scheduler="sync")
    (folder,) = tmp_path.glob(".out.partial-*")
    (folder / "stray").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "befall", lambda *_: None)
        done = run(toy.plan(out, fate="error", at=9), scheduler="sync")
    assert (done.blocks, done.resumed) == (19, 0)
    assert not (out / "stray").exists()
    assert os.listdir(tmp_path) == ["out"]


def test_a_run_that_got_nowhere_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        run(toy.plan(tmp_path / "a" / "b" / "out", fate="error", at=0), scheduler="sync")
    assert os.listdir(tmp_path) == []


def test_another_plans_journal_is_not_resumed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError):
        run(toy.plan(out, factor=7, fate="error", at=9), scheduler="sync")
    before = beside(out)
    for other, what in (
        (toy.plan(out, factor=8, fate="error", at=9), r"factor is 7 there, 8 here"),
        (toy.plan(out, factor=7, fate="error", at=9, tile=(3, 3)), r"stages\[0\].*tile"),
        (replace(toy.plan(out), operation="joy"), "it is of toy, not of joy"),
    ):
        with pytest.raises(UsageError, match=what):
            run(other, resume=True)
    assert beside(out) == before
    run(toy.plan(out, factor=8))  # a fresh run of another plan leaves it alone
    assert beside(out) == before


def test_without_anything_to_resume_a_run_starts(tmp_path: Path) -> None:
    assert run(toy.plan(tmp_path / "out"), resume=True).blocks == 19


def test_what_exists_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years")
    with pytest.raises(UsageError, match="exists"):
        run(toy.plan(out))
    with pytest.raises(UsageError, match="folder of other things"):
        run(toy.plan(out, overwrite=True))
    assert (out / "thesis.tex").read_text() == "years"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="dies in a fork")
@pytest.mark.parametrize("at", ["unfinished.swap", "output.Path.rename", "journal.Path.unlink"])
def test_a_crash_between_the_last_block_and_the_place_is_mended(
    tmp_path: Path, expected: dict[str, bytes], at: str
) -> None:
    out = tmp_path / "out"
    plan = dated(toy.plan(out, overwrite=True))
    child = os.fork()
    if not child:
        with pytest.MonkeyPatch.context() as patch:
            if at.startswith("journal"):  # the output is in its place, the journal still there
                patch.setattr(Path, "unlink", lambda *_, **__: os._exit(9))
            else:
                patch.setattr(f"enormous.engine.{at}", lambda *_, **__: os._exit(9))
            run(plan, scheduler="sync")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert out.exists() == at.startswith("journal")
    assert finish(out).plan.created == MADE
    assert toy.tree(out) == expected
    assert not beside(out)


def test_a_journal_without_its_data_is_worth_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = toy.plan(out)

    def fails(*_: Any) -> None:
        raise RuntimeError("at the last moment")

    for at in ("enormous.engine.unfinished.swap", "toy.write"):
        run(plan, stage=1)
        run(plan, stage=2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(at, fails)
            with pytest.raises(RuntimeError, match="last moment"):
                finish(out)
        if at.endswith("swap"):
            with pytest.raises(UsageError, match="enormous finish"):
                run(plan, stage=1)
        (folder,) = tmp_path.glob(".out.partial-*")
        subprocess.run(["rm", "-r", str(folder)], check=True)
        with pytest.raises(DataError, match="is gone"):
            finish(out)
        assert not out.exists()
    done = run(plan, resume=True)
    assert (done.blocks, done.resumed) == (19, 0)
    assert os.listdir(tmp_path) == ["out"]


def test_two_runs_of_one_plan_never_meet(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = (
        "import sys, toy; from enormous.engine import run; "
        "run(toy.plan(sys.argv[1], pause=0.2), workers=1, stage=eval(sys.argv[2]))"
    )

    def start(stage: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", script, str(out), stage])
        deadline = time.monotonic() + 30
        while not any(p.stat().st_size for p in tmp_path.glob(".out.journal-*/*.records")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    for stage, calls in (
        ("None", [{}, {"resume": True}, {"stage": 1}]),
        ("1", [{}, {"resume": True}, {"stage": 1}]),
    ):
        other = start(stage)
        try:
            for call in calls:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("enormous.engine.journal._PATIENCE", 0.2)
                    with pytest.raises(UsageError, match=r"another (run|process)|whole run"):
                        run(toy.plan(out, pause=0.2), **call)
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()
        # whoever was killed held its lock until then, not longer
        assert run(toy.plan(out, pause=0.2), workers=9, resume=True).resumed >= 0
        subprocess.run(["rm", "-r", str(out)], check=True)


def test_a_custom_way_of_publishing_may_be_repeated(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    plan = replace(toy.plan(out), publish=toy.publish_into)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "PUBLISH_FAILS", True)
        with pytest.raises(RuntimeError, match="half way"):
            run(plan)
    assert (out / "squares").exists()
    assert not (out / "sums").exists()
    done = run(plan, resume=True)
    assert (done.blocks, done.resumed) == (0, 19)
    assert sorted(os.listdir(out)) == ["list.txt", "old", "squares", "sums"]
    assert not beside(out)


@pytest.mark.parametrize("resume", [False, True])
def test_what_is_half_in_its_place_is_completed_first(tmp_path: Path, resume: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    plan = replace(toy.plan(out), publish=toy.publish_into)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "PUBLISH_FAILS", True)
        with pytest.raises(RuntimeError, match="half way") as caught:
            run(plan)
        assert "remove" not in caught.value.__notes__[0]  # half of it is there
        with pytest.raises(RuntimeError, match="half way") as caught:
            finish(out)
        assert caught.value.__notes__ == [
            f"19 of 19 blocks are done and kept: enormous finish {out} goes on"
        ]
    other = replace(toy.plan(out, factor=2), publish=toy.publish_into)
    for call in ({}, {"stage": 1}, {"resume": True}):
        with pytest.raises(UsageError, match=f"enormous finish {out} completes that"):
            run(other, **call)
    if not resume:  # of two, the one that is half in its place comes first
        other_journal = toy.plan(out, factor=3)
        run(replace(other_journal, overwrite=True), stage=1)
    done = run(plan, resume=resume) if resume else finish(out)
    assert (done.blocks, done.resumed) == (0, 19)
    assert sorted(os.listdir(out)) == ["list.txt", "squares", "sums"]


def test_a_plain_call_completes_what_was_half_in_its_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    plan = replace(toy.plan(out), publish=toy.publish_into)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "PUBLISH_FAILS", True)
        with pytest.raises(RuntimeError, match="half way"):
            run(plan)
    assert run(plan).resumed == 19
    assert sorted(os.listdir(out)) == ["list.txt", "squares", "sums"]
    assert not beside(out)


def test_a_whole_run_does_not_drop_what_shares_have_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = toy.plan(out)
    run(plan, stage=1, share=(1, 2))
    with pytest.raises(UsageError, match=r"8 of 19 blocks are done in shares already: --resume"):
        run(plan)
    assert run(plan, resume=True).resumed == 8


def test_what_was_replaced_and_cannot_be_removed_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = toy.plan(out, overwrite=True)
    real = shutil.rmtree

    def refuse(path: Any, **options: Any) -> None:
        if ".old-" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        real(path, **options)

    convert_like = out / "zarr.json"
    out.mkdir()
    convert_like.write_text('{"node_type": "group", "attributes": {"ome": {"multiscales": []}}}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        with pytest.warns(UserWarning, match=r"\.out\.old-.* could not be removed"):
            done = run(plan)
    assert done.blocks == 19
    assert (out / "list.txt").exists()
    assert [name.split("-")[0] for name in beside(out)] == [".out.old"]


def test_what_may_not_be_written_to_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != out)
    for plan in (toy.plan(out, overwrite=True), replace(toy.plan(out), publish=toy.publish_into)):
        with pytest.raises(DataError, match=f"{out}: writing is not permitted"):
            run(plan)
    assert os.listdir(tmp_path) == ["out"]


def test_who_refused_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    scan = tmp_path / "scan" / "s1.tif"
    for error, words in (
        (PermissionError(13, "Permission denied", str(scan)), f"{scan}: Permission denied"),
        (PermissionError(13, "Permission denied", str(out / "0/c")), f"{out}/0: writing is not"),
        (PermissionError(13, "Permission denied", str(out)), f"{tmp_path}: writing is not"),
        (OSError(28, "No space left on device"), f"{out}: no space left"),
        (OSError(27, "File too large"), "ulimit -f"),
        (ValueError(f"'{tmp_path}/.out.partial-1/0': Permission denied"), "writing is not"),
    ):
        told = explain(error, out, 1, 1)
        assert isinstance(told, DataError)
        assert str(told).startswith(words) or words in str(told)
    refused = ValueError(f"{scan}: Permission denied")
    assert explain(refused, out, 1, 1) is refused


def test_pieces_are_no_more_than_a_block_has() -> None:
    stage = Stage("s", toy.square, Tiling((1,), (1,)), block_bytes=5, piece_bytes=10, pieces=3)
    assert (stage.side_by_side(64), stage.peak_bytes(64)) == (3, 35)
    assert replace(stage, pieces=None).peak_bytes(64) == 645


def test_a_plan_of_a_billion_blocks_is_priced_and_begun(tmp_path: Path) -> None:
    code = """
import json, os, resource, sys, time
import toy
import numcodecs
from enormous.engine import run
from enormous.engine.run import Done
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
plan = toy.plan(sys.argv[1], shape=(2_000_000, 3_000), tile=(2, 3), codec="blosc-zstd:3")
facts = plan.as_dict(2)
class Enough(Exception): ...
class Watch:
    n = 0
    def begin(self, title, total, done): assert total == 48 * 10**9
    def advance(self, nbytes):
        Watch.n += 1
        if Watch.n == 50: raise Enough
    def end(self): ...
try: run(plan, workers=2, progress=Watch())
except Enough as error: print(json.dumps(error.__notes__))
seconds = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([plan.blocks, facts["objects"], seconds, (after - before) * 1024]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    notes, numbers = map(json.loads, done.stdout.splitlines())
    assert "of 1,000,666,667 blocks are done and kept" in notes[0]
    blocks, objects, seconds, memory = numbers
    assert blocks == objects == 10**9 + 666_667
    assert seconds < 2
    assert memory < 200e6
