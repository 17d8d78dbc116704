"""Counts the requests and bytes that a piece of code really made.

Times differ from run to run; requests and bytes do not, so lessons and tests
assert them. A `Ledger` is put between a reader and its store: around a zarr
store (`Ledger.wrap`), around an obstore store (`Ledger.bytes`), or beside
tensorstore, which counts for itself (`Ledger.tensorstore`). Called by the
book's cells and by tests. The names of Zarr's metadata files stand here, too.

>>> ledger = Ledger()
>>> image = zarr.open_array(ledger.wrap(store), mode="r")  # doctest: +SKIP
>>> with ledger.measure() as access:  # doctest: +SKIP
...     image[100]
>>> access.reads, access.read_bytes, sorted(access.keys)  # doctest: +SKIP
"""

import json
import os
import threading
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from enormous.errors import DataError, UsageError

if TYPE_CHECKING:
    from zarr.abc.store import Store

    from enormous._ledger_bytes import ByteStore

Operation = Literal["get", "put", "head", "list", "delete"]
_Entries = Mapping[tuple[str, str], tuple[int, int, int]]  # (operation, key) -> figures below
_ZERO = (0, 0, 0)  # requests, bytes, requests that found nothing

#: Files of which one makes a folder a Zarr array or group.
NODE_NAMES = ("zarr.json", ".zgroup", ".zarray")
#: All files of Zarr's metadata.
METADATA_NAMES = frozenset({*NODE_NAMES, ".zattrs", ".zmetadata"})

# tensorstore's counters of drivers that stand on another one; theirs are counted there
_LAYERED_DRIVERS = frozenset({"cache", "kvstack", "neuroglancer_uint64_sharded", "ocdbt", "zip"})


def is_metadata(key: str) -> bool:
    """Whether a store key names Zarr metadata and not a chunk or shard."""
    return key.rsplit("/", 1)[-1] in METADATA_NAMES


@dataclass(frozen=True)
class KeyCounts:
    """The requests and bytes of one chunk or shard; `missing` are reads that found nothing."""

    reads: int = 0
    read_bytes: int = 0
    missing: int = 0
    writes: int = 0
    write_bytes: int = 0


class _Figures:
    """What `Counts` (a result) and `Ledger` (running) have in common: the figures."""

    def _entries(self) -> _Entries:
        raise NotImplementedError

    def _sum(self, operation: str, column: int, metadata: bool | None = None) -> int:
        return sum(
            figures[column]
            for (done, key), figures in self._entries().items()
            if done == operation and metadata in (None, is_metadata(key))
        )

    @property
    def reads(self) -> int:
        """Read requests for chunks and shards: whole objects, ranges, shard indexes, missing."""
        return self._sum("get", 0, metadata=False)

    @property
    def read_bytes(self) -> int:
        """Bytes that the reads of chunks and shards returned."""
        return self._sum("get", 1, metadata=False)

    @property
    def missing(self) -> int:
        """Reads of chunks and shards that found nothing (also counted in `reads`)."""
        return self._sum("get", 2, metadata=False)

    @property
    def metadata_reads(self) -> int:
        """Read requests for ``zarr.json``, ``.zarray`` and the like, found or not."""
        return self._sum("get", 0, metadata=True)

    @property
    def metadata_bytes(self) -> int:
        """Bytes that the metadata reads returned."""
        return self._sum("get", 1, metadata=True)

    @property
    def writes(self) -> int:
        """Write requests for chunks and shards."""
        return self._sum("put", 0, metadata=False)

    @property
    def write_bytes(self) -> int:
        """Bytes that the writes of chunks and shards sent."""
        return self._sum("put", 1, metadata=False)

    @property
    def metadata_writes(self) -> int:
        """Write requests for metadata."""
        return self._sum("put", 0, metadata=True)

    @property
    def heads(self) -> int:
        """Requests that ask whether an object exists, or its size."""
        return self._sum("head", 0)

    @property
    def lists(self) -> int:
        """Requests that list keys (one a call; a store may need more pages)."""
        return self._sum("list", 0)

    @property
    def deletes(self) -> int:
        """Requests that delete an object or a folder."""
        return self._sum("delete", 0)

    @property
    def keys(self) -> dict[str, KeyCounts]:
        """The chunks and shards read or written, sorted by key."""
        entries = self._entries()
        names = sorted({key for done, key in entries if done in ("get", "put")})
        return {
            key: KeyCounts(*entries.get(("get", key), _ZERO), *entries.get(("put", key), _ZERO)[:2])
            for key in names
            if not is_metadata(key)
        }

    def as_dict(self) -> dict[str, Any]:
        """Return all figures, `keys` included, as plain values that JSON can hold."""
        figures: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        return figures | {"keys": {key: asdict(counts) for key, counts in self.keys.items()}}

    def __add__(self, other: "_Figures") -> "Counts":
        return Counts(_combine(self._entries(), other._entries(), 1))

    def __sub__(self, other: "_Figures") -> "Counts":
        return Counts(_combine(self._entries(), other._entries(), -1))

    def __repr__(self) -> str:
        figures = {name: getattr(self, name) for name in _NAMES}
        shown = ", ".join(f"{name}={value}" for name, value in figures.items() if value)
        return f"{type(self).__name__}({shown})"


_NAMES = (
    "reads",
    "read_bytes",
    "missing",
    "metadata_reads",
    "metadata_bytes",
    "writes",
    "write_bytes",
    "metadata_writes",
    "heads",
    "lists",
    "deletes",
)


class Counts(_Figures):
    """The figures of one stretch of work: what `Ledger.measure` and `Ledger.total` give.

    Counts can be added, subtracted, compared and pickled.
    """

    def __init__(self, entries: _Entries | None = None) -> None:
        self._figures: _Entries = dict(entries or {})

    def _entries(self) -> _Entries:
        return self._figures

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self._figures == other._figures

    __hash__ = None  # type: ignore[assignment]  # filled after `measure` gave it out


class Ledger(_Figures):
    """Counts requests as they happen; any number of stores and threads may share one.

    Parameters
    ----------
    folder : path-like, optional
        Where to keep the counts, if several processes are to be summed: each appends
        to a file of its own there, one line a request, so that nothing is lost when a
        worker is killed. What stands there already is left out: a new ledger begins
        at zero. A ledger pickled to a worker (alone or inside a wrapped store)
        then counts for all; without a folder the copy counts for itself, and is
        to be sent back and summed with ``ledger + copy``.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._counted: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._offsets: dict[str, int] = {}  # how far each process's file has been read
        self._start_process()
        self.reset()

    def _start_process(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._file: int | None = None
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def __getstate__(self) -> dict[str, Any]:
        counted = {} if self.folder else dict(self._entries())
        return {"folder": self.folder, "counted": counted, "start": self._start}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # not from the files' present end: a copy begins where the original did
        self.folder, self._counted, self._start = state["folder"], state["counted"], state["start"]
        self._offsets = dict(self._start)
        self._start_process()

    def record(
        self,
        operation: Operation,
        key: str,
        nbytes: int = 0,
        *,
        requests: int = 1,
        missing: int = 0,
    ) -> None:
        """Count requests (for stores other than those this module wraps).

        Parameters
        ----------
        operation : {"get", "put", "head", "list", "delete"}
        key : str
            The object's key in its store.
        nbytes : int
            Bytes that travelled, over all requests.
        requests : int
            How many requests.
        missing : int
            How many of them found nothing.
        """
        if os.getpid() != self._pid:  # forked: the parent's lock and file are not ours
            self._start_process()
        with self._lock:
            if self.folder is None:
                _add(self._counted, (operation, key), (requests, nbytes, missing))
            else:
                self._append([operation, key, requests, nbytes, missing])

    def _append(self, line: list[Any]) -> None:
        if self._file is None:
            assert self.folder is not None
            path = self.folder / f"{self._pid}-{uuid.uuid4().hex}.ledger"
            self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
            weakref.finalize(self, os.close, self._file)
        data = json.dumps(line).encode() + b"\n"
        if os.write(self._file, data) != len(data):
            raise DataError(f"{self.folder} is full: the ledger's counts cannot be kept there")

    def _entries(self) -> _Entries:
        if os.getpid() != self._pid:
            self._start_process()
        with self._lock:
            self._read_all()
            return dict(self._counted)

    def _read_all(self) -> None:
        if self.folder is not None:
            for path in sorted(self.folder.glob("*.ledger")):
                self._read_on(path)

    def _read_on(self, path: Path) -> None:
        """Add the lines that a process has written since the last look."""
        with path.open("rb") as file:
            file.seek(self._offsets.get(path.name, 0))
            whole, newline, _ = file.read().rpartition(b"\n")  # the last line may be half there
        for line in whole.splitlines():
            operation, key, *figures = json.loads(line)
            _add(self._counted, (operation, key), tuple(figures))
        self._offsets[path.name] = self._offsets.get(path.name, 0) + len(whole) + len(newline)

    def total(self) -> Counts:
        """Return all that was counted since the start or this ledger's `reset`.

        With a folder: by all processes that count there. A copy in a worker starts
        where the ledger had that it was pickled from.
        """
        return Counts(self._entries())

    def reset(self) -> None:
        """Begin at zero again: leave out what was counted so far, by whichever process.

        Other ledgers on the same folder, and the copies that workers have already,
        are not told: they go on from their own start.
        """
        if os.getpid() != self._pid:
            self._start_process()
        with self._lock:
            self._read_all()  # to the files' present end, so that it is left out too
            self._counted.clear()
            self._start = dict(self._offsets)

    @contextmanager
    def measure(self) -> Iterator[Counts]:
        """Give the counts of one ``with`` block, ready when the block ends.

        Yields
        ------
        Counts
            Empty inside the block; requests that other threads make meanwhile count too.
        """
        before = self.total()
        access = Counts()
        try:
            yield access
        finally:
            access._figures = (self.total() - before)._figures

    def wrap(self, store: "Store") -> "Store":
        """Return a zarr store that counts what passes, for ``zarr.open_array`` and others.

        Each ``get`` of an object or byte range is one read: of a sharded array, the
        index is one and each range read from the shard another. zarr 3.1 reads inner
        chunks one by one; from 3.3 on it merges neighbouring ranges, and the merged
        requests are counted.

        Parameters
        ----------
        store : zarr.abc.store.Store

        Raises
        ------
        UsageError
            If `store` is not a zarr store (a path or URL, say).
        """
        from zarr.abc.store import Store

        from enormous._ledger_zarr import CountingStore

        if not isinstance(store, Store):
            raise UsageError(
                f"a ledger wraps zarr stores, not {type(store).__name__}: "
                "open the path or URL first, e.g. zarr.storage.LocalStore(path)"
            )
        return CountingStore(store, self)

    def bytes(self, store: Any) -> "ByteStore":
        """Return an obstore store that counts what passes.

        Parameters
        ----------
        store : obstore.store.ObjectStore

        Returns
        -------
        ByteStore
            With the store's own methods. The functions of the module ``obstore``
            (``obstore.get(store, ...)``) take compiled stores only, not this one.
        """
        from enormous._ledger_bytes import ByteStore

        return ByteStore(store, self)

    @contextmanager
    def tensorstore(self) -> Iterator[Counts]:
        """Count what tensorstore reads and writes in a ``with`` block.

        tensorstore keeps counters of its own, which this compares before and after.
        They are of the whole process and know drivers but not keys: the figures stand
        under a key such as ``tensorstore:http``, metadata included (open the array
        before the block to count chunks alone). Requests are those made after
        neighbouring ranges were merged. The ``file`` driver does not count reads of
        files that are not there; ``http`` does, with 0 bytes.

        Yields
        ------
        Counts
            The block's own counts, ready when it ends; the ledger has them too.
        """
        before = _tensorstore_counters()
        access = Counts()
        try:
            yield access
        finally:
            after = _tensorstore_counters()
            access._figures = _combine(after, before, -1)
            for (operation, key), (requests, nbytes, _) in access._figures.items():
                self.record(operation, key, nbytes, requests=requests)  # type: ignore[arg-type]


def _add(
    entries: dict[tuple[str, str], tuple[int, int, int]],
    entry: tuple[str, str],
    figures: Iterable[int],
    sign: int = 1,
) -> None:
    old = entries.get(entry, _ZERO)
    first, second, third = (a + sign * b for a, b in zip(old, figures, strict=True))
    entries[entry] = (first, second, third)


def _combine(one: _Entries, other: _Entries, sign: int) -> _Entries:
    """Add (or subtract) entry by entry, leaving out what comes to nothing."""
    entries = dict(one)
    for entry, figures in other.items():
        _add(entries, entry, figures, sign)
    return {entry: figures for entry, figures in entries.items() if figures != _ZERO}


def _tensorstore_counters() -> _Entries:
    """Return tensorstore's counters by operation and driver, as far as they are ours."""
    import tensorstore

    counters: dict[str, dict[str, int]] = {}
    for metric in tensorstore.experimental_collect_matching_metrics("/tensorstore/kvstore/"):
        driver, _, name = metric["name"].removeprefix("/tensorstore/kvstore/").partition("/")
        value = metric["values"][0].get("value") if metric["values"] else None
        if driver not in _LAYERED_DRIVERS and isinstance(value, int):
            counters.setdefault(driver, {})[name] = value
    entries: dict[tuple[str, str], tuple[int, int, int]] = {}
    for driver, of in counters.items():
        key = f"tensorstore:{driver}"
        # batch_read: after merging; drivers that never merge have `read` alone
        reads = of.get("batch_read", of.get("read", 0))
        entries["get", key] = (reads, of.get("bytes_read", 0), 0)
        entries["put", key] = (of.get("write", 0), of.get("bytes_written", 0), 0)
        entries["list", key] = (of.get("list", 0), 0, 0)
        entries["delete", key] = (of.get("delete_range", 0), 0, 0)
    return entries
