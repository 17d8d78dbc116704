"""The common options of the command line: dry runs, shares, finish, what is told of leftovers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import commands
import pytest
import toy

from enormous.cli import main
from enormous.engine import run


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    assert commands.toy_command  # it is in the command line now

    def called(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return int(str(left.value.code)), out, err

    return called


def test_a_dry_run_tells_all_and_writes_nothing(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, text, err = call("toy", tmp_path / "out", "--dry-run", "--workers", 2)
    assert (code, err) == (0, "")
    for words in (
        "1 squares",
        "2 sums",
        "peak memory  400 MB with 2 workers",
        "time",
        "cloud cost",
    ):
        assert words in text
    code, text, err = call("toy", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(text)["dry_run"] is True
    assert call("toy", tmp_path / "out", "--dry-run", "--quiet") == (0, "", "")
    assert os.listdir(tmp_path) == []


def test_a_job_array_and_its_finish(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    for stage, n in ((1, 3), (2, 1)):
        for i in range(1, n + 1):
            code, text, err = call("toy", out, "--stage", stage, "--share", f"{i}/{n}", "--json")
            assert (code, err) == (0, "")
            assert json.loads(text)["share"] == f"{i}/{n}"
        if stage == 1:
            code, _, err = call("finish", out)
            assert code == 1
            assert "stage 2 (sums): 3 of 3 blocks missing" in err
    code, text, _ = call("toy", out, "--stage", 2)
    assert text.startswith(f"{out}: stage 2, share 1/1: 0 blocks made, 3 found done, ")
    assert re.fullmatch(r"[0-9]\.[0-9] s\n", text.rpartition("done, ")[2])
    code, text, _ = call("finish", out, "--json")
    assert (code, json.loads(text)["blocks"]) == (0, 19)
    assert os.listdir(tmp_path) == ["out"]
    run(toy.plan(tmp_path / "whole"))
    assert toy.tree(out).keys() == toy.tree(tmp_path / "whole").keys()
    assert call("finish", out)[0] == 2


@pytest.mark.parametrize("share", ["3", "1/", "a/b", "0/3", "4/3", "-1/3"])
def test_a_share_that_is_none_is_one_line(call, tmp_path: Path, share: str) -> None:  # type: ignore[no-untyped-def]
    code, text, err = call("toy", tmp_path / "out", "--stage", 1, "--share", share)
    assert (code, text, err.count("\n")) == (2, "", 1)


def test_what_is_left_is_told_of(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    code, _, err = call("toy", out, "--fate", "error", "--at", 5, "--scheduler", "sync")
    assert code == 1
    assert "RuntimeError: power cut; 5 of 19 blocks are done and kept" in err
    assert err.count("\n") == 1
    code, _, err = call("toy", out, "--fate", "error", "--at", 6, "--resume")
    assert code == 2
    assert "at is 5 there, 6 here" in err.splitlines()[-1]
    (tmp_path / ".out.old-12345678").mkdir()
    code, _, err = call("toy", out)
    assert code == 0
    assert [line.split()[0] for line in err.splitlines()] == ["warning:"] * 3
    assert "was before a run that was killed" in err
    assert call("toy", out, "--quiet")[0] == 2  # it exists
