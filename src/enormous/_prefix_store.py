"""A zarr store that shows one folder of another store as its root.

For locations inside a zip archive or a ``memory://`` name: zarr's own stores
begin at the archive's root. Made by `enormous.stores.Location.zarr`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import Any, Self

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore


class PrefixStore(WrapperStore[Store]):
    """Puts `prefix` and a slash before every key of `store`."""

    # newer zarr would call the inner store's synchronous methods, without the prefix
    _supports_sync_io = False

    def __init__(self, store: Store, prefix: str) -> None:
        super().__init__(store)
        self.prefix = prefix.strip("/")

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self.prefix)

    def __eq__(self, value: object) -> bool:
        return super().__eq__(value) and self.prefix == value.prefix  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]  # as zarr's stores

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if key else self.prefix

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Get below the prefix."""
        return await self._store.get(self._key(key), prototype, byte_range)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Get ranges below the prefix."""
        asked = [(self._key(key), byte_range) for key, byte_range in key_ranges]
        return await self._store.get_partial_values(prototype, asked)

    async def get_ranges(
        self,
        key: str,
        byte_ranges: Sequence[ByteRequest | None],
        *,
        prototype: BufferPrototype,
        **limits: int | None,
    ) -> AsyncIterator[Sequence[tuple[int, Buffer | None]]]:
        """Get ranges of one key below the prefix (zarr 3.3 and newer)."""
        store: Any = self._store
        given = {name: limit for name, limit in limits.items() if limit is not None}
        path = self._key(key)
        async for group in store.get_ranges(path, byte_ranges, prototype=prototype, **given):
            yield group

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        asked = [(self._key(key), prototype, part) for key, prototype, part in requests]
        async for key, value in self._store._get_many(asked):
            yield key.removeprefix(f"{self.prefix}/"), value

    async def exists(self, key: str) -> bool:
        """Ask below the prefix."""
        return await self._store.exists(self._key(key))

    async def getsize(self, key: str) -> int:
        """Ask below the prefix."""
        return await self._store.getsize(self._key(key))

    async def getsize_prefix(self, prefix: str) -> int:
        """Sum below the prefix."""
        return await self._store.getsize_prefix(self._key(prefix))

    async def is_empty(self, prefix: str) -> bool:
        """Ask below the prefix."""
        return await self._store.is_empty(self._key(prefix))

    async def set(self, key: str, value: Buffer) -> None:
        """Set below the prefix."""
        await self._store.set(self._key(key), value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Set below the prefix."""
        await self._store.set_if_not_exists(self._key(key), value)

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        await self._store._set_many([(self._key(key), value) for key, value in values])

    async def delete(self, key: str) -> None:
        """Delete below the prefix."""
        await self._store.delete(self._key(key))

    async def delete_dir(self, prefix: str) -> None:
        """Delete below the prefix."""
        await self._store.delete_dir(self._key(prefix))

    async def clear(self) -> None:
        """Delete what is below the prefix, and no more."""
        await self._store.delete_dir(self.prefix)

    async def list(self) -> AsyncIterator[str]:
        """List below the prefix."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List below the prefix, relative to it."""
        await self._ensure_open()  # zarr's zip store opens by itself to get, not to list
        async for key in self._store.list_prefix(f"{self.prefix}/{prefix}"):
            yield key.removeprefix(f"{self.prefix}/")

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List one folder below the prefix."""
        await self._ensure_open()
        async for name in self._store.list_dir(self._key(prefix)):
            yield name
