"""The byte store that `enormous.ledger.Ledger.bytes` returns.

Stands in for an obstore store where encoded bytes are moved, so that its requests
can be counted as those of zarr are. Called by tests alone today.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from enormous.errors import UsageError

if TYPE_CHECKING:
    from enormous.ledger import Ledger


class ByteStore:
    """An obstore store whose requests a ledger counts; made by `Ledger.bytes`."""

    def __init__(self, store: Any, ledger: "Ledger") -> None:
        self.store = store
        self.ledger = ledger

    def get(self, path: str, *, options: Any = None) -> Any:
        """Get an object (or the range in `options`); returns obstore's ``GetResult``."""
        with self._reading(path):
            result = self.store.get(path, options=options)
        start, end = result.range
        self.ledger.record("get", path, end - start)
        return result

    def get_range(
        self, path: str, *, start: int, end: int | None = None, length: int | None = None
    ) -> Any:
        """Get the bytes from `start` to `end` (exclusive), or `length` of them."""
        with self._reading(path):
            data = self.store.get_range(path, start=start, end=end, length=length)
        self.ledger.record("get", path, len(data))
        return data

    def get_ranges(
        self,
        path: str,
        *,
        starts: Sequence[int],
        ends: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
        coalesce: int = 1 << 20,
    ) -> list[Any]:
        """Get several ranges; those at most `coalesce` bytes apart travel as one request.

        Counted as they travel: with the gaps between merged ranges. A local or a memory
        store reads each range by itself.
        """
        if ends is None:
            ends = [start + length for start, length in zip(starts, lengths or (), strict=True)]
        # older obstore knows no `coalesce`, and merges at the same distance
        option = {} if coalesce == 1 << 20 else {"coalesce": coalesce}
        with self._reading(path):
            parts = self.store.get_ranges(path, starts=starts, ends=ends, **option)
        ranges = [(start, start + len(part)) for start, part in zip(starts, parts, strict=True)]
        if type(self.store).__name__ not in ("LocalStore", "MemoryStore"):
            ranges = _merge(ranges, coalesce)
        nbytes = sum(end - start for start, end in ranges)
        self.ledger.record("get", path, nbytes, requests=len(ranges))
        return list(parts)

    def put(self, path: str, file: Any, **options: Any) -> Any:
        """Put a bytes-like object (of files and streams the size would not be known)."""
        try:
            nbytes = memoryview(file).nbytes
        except TypeError:
            raise UsageError(
                f"a ledger counts puts of bytes, not of {type(file).__name__}: read it first"
            ) from None
        result = self.store.put(path, file, **options)
        self.ledger.record("put", path, nbytes)
        return result

    def head(self, path: str) -> Any:
        """Get an object's size and time, not its bytes."""
        self.ledger.record("head", path)
        return self.store.head(path)

    def list(self, prefix: str | None = None, **options: Any) -> Any:
        """List the objects below a prefix."""
        self.ledger.record("list", prefix or "")
        return self.store.list(prefix, **options)

    def list_with_delimiter(self, prefix: str | None = None, **options: Any) -> Any:
        """List one folder level."""
        self.ledger.record("list", prefix or "")
        return self.store.list_with_delimiter(prefix, **options)

    def delete(self, paths: str | Sequence[str]) -> None:
        """Delete one object or several."""
        for path in [paths] if isinstance(paths, str) else paths:
            self.ledger.record("delete", path)
        self.store.delete(paths)

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            self.ledger.record("get", path, missing=1)
            raise


def _merge(ranges: Iterable[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Merge ranges at most `gap` apart, as the crate object_store does in ``get_ranges``."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
