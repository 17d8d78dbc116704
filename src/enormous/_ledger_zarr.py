"""The zarr store that `enormous.ledger.Ledger.wrap` returns.

Apart from `ledger` because a subclass needs zarr imported, and the ledger must
not. Works with zarr 3.1 and with the newer store methods (``get_ranges`` from
3.3 on, the synchronous ones), which zarr calls only where it has them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import Any, Self

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from enormous.ledger import Ledger


class CountingStore(WrapperStore[Store]):
    """Passes every call on to `store` and tells `ledger` of it."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        super().__init__(store)
        self.ledger = ledger

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self.ledger)

    def _read(self, key: str, value: Buffer | None) -> Buffer | None:
        if value is None:
            self.ledger.record("get", key, missing=1)
        else:
            self.ledger.record("get", key, len(value))
        return value

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Count one read."""
        return self._read(key, await self._store.get(key, prototype, byte_range))

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Count one read a range: a store's own merging could not be seen from here."""
        reads = [self.get(key, prototype, byte_range) for key, byte_range in key_ranges]
        return list(await asyncio.gather(*reads))

    async def get_ranges(
        self,
        key: str,
        byte_ranges: Sequence[ByteRequest | None],
        *,
        prototype: BufferPrototype,
        **limits: int | None,
    ) -> AsyncIterator[Sequence[tuple[int, Buffer | None]]]:
        """Merge as zarr does by default, and count the merged reads."""
        base: Any = Store  # zarr 3.1 has no such method, and never calls this one
        given = {name: limit for name, limit in limits.items() if limit is not None}
        async for group in base.get_ranges(self, key, byte_ranges, prototype=prototype, **given):
            yield group

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        async for key, value in self._store._get_many(requests):
            yield key, self._read(key, value)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Count one read of zarr's synchronous path."""
        store: Any = self._store
        value = store.get_sync(key, prototype=prototype, byte_range=byte_range)
        return self._read(key, value)

    async def set(self, key: str, value: Buffer) -> None:
        """Count one write."""
        await self._store.set(key, value)
        self.ledger.record("put", key, len(value))

    def set_sync(self, key: str, value: Buffer) -> None:
        """Count one write of zarr's synchronous path."""
        store: Any = self._store
        store.set_sync(key, value)
        self.ledger.record("put", key, len(value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Count one write: an object store is sent the bytes either way."""
        await self._store.set_if_not_exists(key, value)
        self.ledger.record("put", key, len(value))

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        await asyncio.gather(*(self.set(key, value) for key, value in values))

    async def exists(self, key: str) -> bool:
        """Count one head."""
        self.ledger.record("head", key)
        return await self._store.exists(key)

    async def getsize(self, key: str) -> int:
        """Count one head."""
        self.ledger.record("head", key)
        return await self._store.getsize(key)

    async def getsize_prefix(self, prefix: str) -> int:
        """Count one list."""
        self.ledger.record("list", prefix)
        return await self._store.getsize_prefix(prefix)

    async def is_empty(self, prefix: str) -> bool:
        """Count one list."""
        self.ledger.record("list", prefix)
        return await self._store.is_empty(prefix)

    def list(self) -> AsyncIterator[str]:
        """Count one list."""
        self.ledger.record("list", "")
        return self._store.list()

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Count one list."""
        self.ledger.record("list", prefix)
        return self._store.list_prefix(prefix)

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Count one list."""
        self.ledger.record("list", prefix)
        return self._store.list_dir(prefix)

    async def delete(self, key: str) -> None:
        """Count one delete."""
        await self._store.delete(key)
        self.ledger.record("delete", key)

    def delete_sync(self, key: str) -> None:
        """Count one delete of zarr's synchronous path."""
        store: Any = self._store
        store.delete_sync(key)
        self.ledger.record("delete", key)

    async def delete_dir(self, prefix: str) -> None:
        """Count one delete for the folder."""
        await self._store.delete_dir(prefix)
        self.ledger.record("delete", prefix)

    async def clear(self) -> None:
        """Count one delete for the whole store."""
        await self._store.clear()
        self.ledger.record("delete", "")
