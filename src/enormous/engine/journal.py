"""What has been done of a plan, written down block by block beside the output.

Called by :mod:`enormous.engine.run`. A folder with ``plan.json`` and record files, one for
a whole run (``run.records``) and one for each share: a line ``stage block`` is added after
the function of a block has returned. It is never inferred from data: an empty chunk writes
none. Lines outlive the process that wrote them; like the data, they outlive a power cut
only as far as the system had brought them to the disk.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from enormous.engine.freeze import as_json, from_json, thaw
from enormous.engine.inputs import check_same
from enormous.engine.intervals import Intervals
from enormous.engine.lock import hold, open_held
from enormous.engine.plan import Plan
from enormous.errors import DataError, UsageError

_LINE = re.compile(rb"^([0-9]+) ([0-9]+)$", re.MULTILINE)
_LONGEST = 64  # bytes of a line
_PIECE = 1 << 22  # bytes of a record read at once
_PATIENCE = 10.0  # seconds that one share waits for another to set up the folders


@dataclass
class Journal:
    """The journal of one plan.

    Parameters
    ----------
    plan : Plan
    folder : Path
    """

    plan: Plan
    folder: Path
    _lock: int | None = field(default=None, repr=False)

    @property
    def exists(self) -> bool:
        """Whether there is a plan to go on with; what is left of a removed journal is none."""
        return (self.folder / "plan.json").is_file()

    @property
    def publishing(self) -> bool:
        """Whether all was done and the output was about to be put in its place."""
        return (self.folder / "publishing").exists()

    def lock(self) -> None:
        """Keep all other runs of this plan out until :meth:`unlock`.

        Raises
        ------
        UsageError
            If one is going on.
        """
        self.folder.mkdir(exist_ok=True)
        self._lock = open_held(self.folder / "lock")
        if self._lock is None:
            raise UsageError(
                f"{self.plan.out}: another run of this plan is going on (it holds {self.folder}); "
                "wait for it or end it"
            )

    def share_lock(self) -> bool:
        """Keep out whole runs, not other shares.

        Returns
        -------
        bool
            True if this is the first: it sets up the folders, then calls :meth:`let_others`.

        Raises
        ------
        UsageError
            If a whole run is going on.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            self.folder.mkdir(exist_ok=True)
            self._lock = open_held(self.folder / "lock")
            if self._lock is not None:
                return True
            self._lock = open_held(self.folder / "lock", shared=True)
            if self._lock is not None and self.exists:
                return False
            self.unlock()
            if time.monotonic() > until:
                raise UsageError(
                    f"{self.plan.out}: a whole run of this plan is going on (it holds "
                    f"{self.folder}); wait for it or end it"
                )
            time.sleep(0.05)

    def let_others(self) -> None:
        """Go from keeping all out to keeping only whole runs out."""
        if self._lock is not None:
            hold(self._lock, shared=True)

    def unlock(self) -> None:
        """Let others in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def start(self) -> None:
        """Write down the plan; records of an earlier run of it are removed."""
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()
        self._write({"hash": self.plan.hash, "plan": as_json(self.plan)})

    def _write(self, frozen: dict[str, Any]) -> None:
        temporary = self.folder / f"plan.json.{os.getpid()}.new"  # shares may write it at a time
        temporary.write_text(json.dumps(frozen, indent=1), encoding="utf-8")
        os.replace(temporary, self.folder / "plan.json")

    def compare_inputs(self) -> None:
        """Make sure that the input files are those of which blocks were made; keep the new ones.

        Raises
        ------
        DataError
            If one that a recorded block has read is another now: it is named.
        """
        stored = _stored(self.folder)
        fields = stored["plan"]["fields"]
        if not check_same(self.plan, from_json(fields.get("inputs", [])), self.done()[0]):
            fields["inputs"] = as_json(self.plan.inputs)
            self._write(stored)

    def as_made(self) -> Plan:
        """This plan with the time at which it was first made: same plan, same bytes.

        Raises
        ------
        DataError
            If the journal cannot be read or is another plan's.
        """
        stored = _stored(self.folder)
        if stored["hash"] != self.plan.hash:
            raise DataError(f"{self.folder} is not of this plan; remove it")
        self.plan = replace(self.plan, created=stored["plan"]["fields"]["created"])
        return self.plan

    def done(self) -> tuple[Intervals, ...]:
        """The blocks recorded, for each stage."""
        done = tuple(Intervals() for _ in self.plan.stages)
        for path in sorted(self.folder.glob("*.records")):
            _read_record(path, self.plan, done)
        return done

    def record(self, name: str = "run") -> Record:
        """Open a record file, to add to it.

        Raises
        ------
        UsageError
            If another process writes to it.
        """
        file = open_held(self.folder / f"{name}.records")
        if file is None:
            raise UsageError(
                f"{self.plan.out}: {name.replace('-', ' ')} is being run by another process; "
                "wait for it or end it"
            )
        return Record(file)

    def publish(self) -> None:
        """Write down that all is done, and only the way to its place is left."""
        (self.folder / "publishing").touch()

    def remove(self) -> None:
        """Remove the journal, the plan first: without it, the rest is worth nothing."""
        (self.folder / "plan.json").unlink(missing_ok=True)
        if os.name == "nt":  # where an open file cannot be removed
            self.unlock()
        shutil.rmtree(self.folder)
        self.unlock()


class Record:
    """One file of lines, held by one process."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._cut()

    def _cut(self) -> None:
        """Cut off the line that a killed process did not finish."""
        size = os.fstat(self._file).st_size
        os.lseek(self._file, max(0, size - _LONGEST), os.SEEK_SET)
        tail = os.read(self._file, _LONGEST)
        os.ftruncate(self._file, size - len(tail) + tail.rfind(b"\n") + 1)

    def add(self, stage: int, block: int) -> None:
        """Write down that a block is done.

        Raises
        ------
        OSError
            If the disk is full: the part of the line that went in is none, as it has no end.
        """
        line = b"%d %d\n" % (stage, block)
        while line:  # once, but on a disk that is full
            line = line[os.write(self._file, line) :]

    def close(self) -> None:
        """Let others write to it."""
        os.close(self._file)


def _read_record(path: Path, plan: Plan, done: tuple[Intervals, ...]) -> None:
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            lines, newline, rest = (rest + piece).rpartition(b"\n")
            for match in _LINE.finditer(lines + newline):
                stage, block = int(match[1]), int(match[2])
                if stage < len(done) and block < plan.stages[stage].blocks.n:
                    done[stage].add(block)


def _stored(folder: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = json.loads((folder / "plan.json").read_bytes())
        assert isinstance(stored["hash"], str)
        assert isinstance(stored["plan"]["fields"]["created"], str)
    except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
        raise DataError(f"{folder} is damaged ({error!r}); remove it and start anew") from error
    return stored


def read_plan(folder: Path) -> Plan:
    """The plan of a journal, as another process wrote it down.

    Raises
    ------
    DataError
        If it cannot be read, or was made by another version.
    """
    stored = _stored(folder)
    plan = thaw(json.dumps(stored["plan"]))
    if not isinstance(plan, Plan) or plan.hash != stored["hash"]:
        raise DataError(
            f"{folder} was written by another version of this package; go on with that version, "
            "or remove it and start anew"
        )
    return plan


def difference(plan: Plan, folder: Path) -> str:
    """Say in what another plan's journal differs from a plan: ``codec is 'zstd', not 'none'``."""
    stored = _stored(folder)["plan"]["fields"]
    if stored["operation"] != plan.operation:
        return f"it is of {stored['operation']}, not of {plan.operation}"
    mine = as_json(plan)["fields"]
    for key, path in (("spec", ""), ("stages", "stages")):
        if found := _first(mine[key], stored[key], path):
            return found
    return "it is of another version of this package"


def _first(mine: Any, theirs: Any, path: str) -> str:
    """The first place where two JSON values differ, in words; "" if nowhere."""
    if mine == theirs:
        return ""
    if isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys():
        for key in mine:
            below = path if key in ("fields", "dict", "list") else f"{path}.{key}".lstrip(".")
            if found := _first(mine[key], theirs[key], below):
                return found
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for at, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            # short lists of numbers are shapes and say more as a whole
            if isinstance(a, (dict, list)) and (found := _first(a, b, f"{path}[{at}]")):
                return found
    return f"{path or 'it'} is {_short(theirs)} there, {_short(mine)} here"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("type") or value.get("function") or value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
