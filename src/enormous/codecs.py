"""One name per codec, and what that name is in every library's metadata.

A codec is written ``name[:level][:shuffle]`` on the command line and in the
book (``blosc-zstd:3:shuffle``). This module turns the name into the metadata
of Zarr v2, of Zarr v3 and of tensorstore, and back; and it encodes and decodes single chunks.
Called by what creates images and samples and counts their codecs' ratios, by
`enormous.ome.read`, which describes arrays, by `enormous.shardfile` for the bytes
of buffers, and by the book's cells and exercises.
"""

import gzip
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from enormous.errors import DataError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shuffle = Literal["noshuffle", "shuffle", "bitshuffle"]
ZarrFormat = Literal[2, 3]

SHUFFLES: tuple[Shuffle, ...] = ("noshuffle", "shuffle", "bitshuffle")  # v2 stores the index

# name -> (lowest level, highest level, default level); None: the codec has no level
_LEVELS: dict[str, tuple[int, int, int] | None] = {
    "blosc-blosclz": (0, 9, 3),
    "blosc-lz4": (0, 9, 3),
    "blosc-lz4hc": (0, 9, 3),
    "blosc-zlib": (0, 9, 3),
    "blosc-zstd": (0, 9, 3),
    "gzip": (0, 9, 6),
    "zstd": (-131072, 22, 3),
    "none": None,
}
NAMES: tuple[str, ...] = tuple(_LEVELS)

BytesLike: TypeAlias = "bytes | bytearray | memoryview | NDArray[Any]"

# codecs of a v3 chain that change the form of the bytes, not their number
_NOT_COMPRESSORS = frozenset({"bytes", "transpose", "crc32c"})


@dataclass(frozen=True)
class Codec:
    """A compressor, its level and its shuffle.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    level : int or None
        Compression level; None takes the default (3; gzip 6). ``none`` has no level.
    shuffle : {"noshuffle", "shuffle", "bitshuffle"} or None
        The reordering Blosc does before it compresses; None takes ``shuffle``.
        Codecs other than Blosc have no shuffle.

    Raises
    ------
    UsageError
        If the name is unknown, the level out of range, or a level or a shuffle
        is given to a codec that has none.

    Examples
    --------
    >>> str(Codec.parse("blosc-zstd"))
    'blosc-zstd:3:shuffle'
    >>> Codec("gzip").v2()
    {'id': 'gzip', 'level': 6}
    """

    name: str
    level: int | None = None
    shuffle: Shuffle | None = None

    def __post_init__(self) -> None:
        if self.name not in _LEVELS:
            raise UsageError(f"unknown codec {self.name!r}: use one of {', '.join(NAMES)}")
        levels = _LEVELS[self.name]
        if levels is None:
            if self.level is not None:
                raise UsageError(f"codec {self.name} has no level: write just {self.name}")
        else:
            low, high, default = levels
            if self.level is None:
                object.__setattr__(self, "level", default)
            elif not (isinstance(self.level, int) and low <= self.level <= high):
                raise UsageError(
                    f"codec {self.name} has no level {self.level}: use {low} to {high}"
                )
        if self.is_blosc:
            if self.shuffle is None:
                object.__setattr__(self, "shuffle", "shuffle")
            elif self.shuffle not in SHUFFLES:
                raise UsageError(
                    f"unknown shuffle {self.shuffle!r}: use one of {', '.join(SHUFFLES)}"
                )
        elif self.shuffle is not None:
            raise UsageError(f"codec {self.name} has no shuffle: only the blosc codecs do")

    @classmethod
    def parse(cls, text: str) -> "Codec":
        """Read ``name[:level][:shuffle]``; the level may be left out before a shuffle.

        Parameters
        ----------
        text : str
            For example ``zstd``, ``gzip:9``, ``blosc-lz4:5:bitshuffle``,
            ``blosc-zstd:noshuffle``.

        Raises
        ------
        UsageError
            If the text does not have this form, or as for `Codec`.
        """
        name, *options = text.strip().lower().split(":")
        level: int | None = None
        if options and re.fullmatch(r"-?[0-9]+", options[0]):
            level = int(options.pop(0))
        if len(options) > 1:
            raise UsageError(f"codec {text!r} is not name[:level][:shuffle]")
        shuffle = options[0] if options else None
        return cls(name, level, shuffle)  # type: ignore[arg-type]  # checked in __post_init__

    def __str__(self) -> str:
        return ":".join(
            str(part) for part in (self.name, self.level, self.shuffle) if part is not None
        )

    @property
    def is_blosc(self) -> bool:
        """Whether the codec is one of Blosc's."""
        return self.name.startswith("blosc-")

    def v2(self) -> dict[str, Any] | None:
        """Return the ``compressor`` of a Zarr v2 ``.zarray`` (None for ``none``)."""
        if self.is_blosc:
            return {
                "id": "blosc",
                "cname": self.name.removeprefix("blosc-"),
                "clevel": self.level,
                "shuffle": SHUFFLES.index(self._shuffle),
                "blocksize": 0,
            }
        return None if self.name == "none" else {"id": self.name, "level": self.level}

    def v3(self, itemsize: int) -> list[dict[str, Any]]:
        """Return the codecs that stand *after* ``bytes`` in a Zarr v3 ``zarr.json``.

        Parameters
        ----------
        itemsize : int
            Bytes of one voxel: Blosc's ``typesize``, by which it shuffles. (In v2
            the library takes it from the dtype; v3 writes it down.)

        Returns
        -------
        list of dict
            Empty for ``none``. In a sharded array these are the inner codecs.
        """
        if self.is_blosc:
            configuration = {
                "typesize": itemsize,
                "cname": self.name.removeprefix("blosc-"),
                "clevel": self.level,
                "shuffle": self.shuffle,
                "blocksize": 0,
            }
            return [{"name": "blosc", "configuration": configuration}]
        if self.name == "gzip":
            return [{"name": "gzip", "configuration": {"level": self.level}}]
        if self.name == "zstd":
            # written out, though false is what readers take where it is absent
            return [{"name": "zstd", "configuration": {"level": self.level, "checksum": False}}]
        return []

    def zarr(self, zarr_format: ZarrFormat, itemsize: int) -> Any:
        """Return what ``zarr.create_array(..., compressors=...)`` takes.

        Parameters
        ----------
        zarr_format : {2, 3}
        itemsize : int
            Bytes of one voxel.
        """
        if zarr_format == 3:
            return self.v3(itemsize) or None
        compressor = self.v2()
        if compressor is None:
            return None
        import numcodecs

        return numcodecs.get_codec(compressor)

    def tensorstore(
        self,
        zarr_format: ZarrFormat,
        itemsize: int,
        endian: Literal["little", "big"] = "little",
    ) -> dict[str, Any]:
        """Return the part of a tensorstore ``metadata`` spec that holds the codec.

        Parameters
        ----------
        zarr_format : {2, 3}
            2 for the driver ``zarr``, 3 for ``zarr3``.
        itemsize : int
            Bytes of one voxel.
        endian : {"little", "big"}
            Byte order of the stored voxels (v3; in v2 it is part of the dtype).

        Returns
        -------
        dict
            ``{"compressor": ...}`` or ``{"codecs": [...]}``, the latter with ``bytes``
            first. For a sharded array put this list inside ``sharding_indexed``.
        """
        if zarr_format == 2:
            return {"compressor": self.v2()}
        serializer: dict[str, Any] = {"name": "bytes"}
        if itemsize > 1:
            serializer["configuration"] = {"endian": endian}
        return {"codecs": [serializer, *self.v3(itemsize)]}

    @classmethod
    def from_v2(cls, compressor: Mapping[str, Any] | None, itemsize: int | None = None) -> "Codec":
        """Name the ``compressor`` of a ``.zarray``.

        A name is shorter than the metadata: block size and checksum flag are dropped.

        Parameters
        ----------
        compressor : mapping or None
        itemsize : int, optional
            Bytes of one voxel; needed only for Blosc's automatic shuffle (-1), which
            means bitshuffle for one byte and shuffle otherwise.

        Raises
        ------
        DataError
            If none of our names describes the codec.
        """
        if compressor is None:
            return cls("none")
        identity = compressor.get("id")
        if identity != "blosc":
            return cls._named(identity, compressor.get("level"), None)
        number = compressor.get("shuffle", 1)
        if number == -1 and itemsize is not None:
            number = 2 if itemsize == 1 else 1
        if number not in (0, 1, 2):
            raise DataError(
                f"blosc shuffle {number} has no name here: give the itemsize, or 0 to 2"
            )
        name = f"blosc-{compressor.get('cname')}"
        return cls._named(name, compressor.get("clevel"), SHUFFLES[number])

    @classmethod
    def from_v3(cls, codecs: Iterable[Mapping[str, Any]]) -> "Codec":
        """Name the compressor in the ``codecs`` of a ``zarr.json``.

        Parameters
        ----------
        codecs : iterable of mapping
            The whole list, or what stands after ``bytes``. A ``sharding_indexed``
            codec is entered; ``bytes``, ``transpose`` and ``crc32c`` are passed over.

        Raises
        ------
        DataError
            If none of our names describes the codec, or there are two compressors.
        """
        found: list[Codec] = []
        for codec in codecs:
            name = codec.get("name")
            configuration: Mapping[str, Any] = codec.get("configuration", {})
            if name == "sharding_indexed":
                found.append(cls.from_v3(configuration.get("codecs", ())))
            elif name == "blosc":
                found.append(
                    cls._named(
                        f"blosc-{configuration.get('cname')}",
                        configuration.get("clevel"),
                        configuration.get("shuffle"),
                    )
                )
            elif name not in _NOT_COMPRESSORS:
                found.append(cls._named(name, configuration.get("level"), None))
        if len(found) > 1:
            raise DataError(f"two compressors in a row have no name here: {found[0]}, {found[1]}")
        return found[0] if found else cls("none")

    def encode(self, data: BytesLike, itemsize: int = 1) -> bytes:
        """Compress the bytes of one chunk; one thread, which lets others run meanwhile.

        Parameters
        ----------
        data : bytes-like or ndarray
            One chunk. Arrays are taken in C order, and copied only if they are not stored so.
        itemsize : int
            Bytes of one voxel, by which Blosc shuffles.

        Returns
        -------
        bytes
            The same for the same input: gzip's time field, which numcodecs fills
            with the clock, is zero.
        """
        if self.name == "none":
            return own_bytes(data)
        flat = raw_bytes(data)
        if self.name == "gzip":
            return gzip.compress(flat, self._level, mtime=0)
        configuration: dict[str, Any] = self.v2() or {}
        if self.is_blosc:
            configuration["typesize"] = itemsize
        return bytes(_numcodecs(configuration).encode(flat))

    def decode(self, data: BytesLike) -> bytes:
        """Decompress the bytes of one chunk; one thread, which lets others run meanwhile.

        Parameters
        ----------
        data : bytes-like
            What `encode`, zarr or tensorstore stored.

        Raises
        ------
        DataError
            If the bytes are not of this codec.
        """
        compressor = self.v2()
        if compressor is None:
            return own_bytes(data)
        import zlib

        flat = raw_bytes(data)
        try:
            return bytes(_numcodecs(compressor).decode(flat))
        except (RuntimeError, ValueError, OSError, EOFError, zlib.error) as error:
            raise DataError(f"chunk of {flat.nbytes} bytes is not {self.name}: {error}") from error

    @property
    def _shuffle(self) -> Shuffle:
        assert self.shuffle is not None  # __post_init__ gives every blosc codec one
        return self.shuffle

    @property
    def _level(self) -> int:
        assert self.level is not None  # __post_init__ gives all but "none" one
        return self.level

    @classmethod
    def _named(cls, name: Any, level: Any, shuffle: Any) -> "Codec":
        """Build from file metadata, where what we do not know is the data's matter."""
        try:
            return cls(str(name), level, shuffle)
        except UsageError as error:
            raise DataError(f"the array's codec has no name here: {error}") from error


def raw_bytes(data: BytesLike) -> memoryview:
    """View the bytes of a buffer or an array, in C order; copied only if they do not lie so.

    Parameters
    ----------
    data : bytes-like or ndarray
        Any number of axes, any dtype, either byte order (bytes stay as they are).
    """
    if isinstance(data, bytes):
        return memoryview(data)
    import numpy as np

    # a memoryview cannot look at big-endian items as bytes; numpy can
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8).data


def own_bytes(data: BytesLike) -> bytes:
    """Copy what :func:`raw_bytes` would view, unless it is of the unchanging kind already."""
    return data if isinstance(data, bytes) else bytes(raw_bytes(data))


def _numcodecs(configuration: dict[str, Any]) -> Any:
    """Build numcodecs' codec, Blosc with one thread.

    In the main thread Blosc would otherwise start threads of its own, behind a lock that
    serves one caller at a time. The switch is numcodecs' only one and holds for the whole
    process; zarr, at its import, turns it the same way.
    """
    import numcodecs.blosc

    numcodecs.blosc.use_threads = False
    return numcodecs.get_codec(configuration)
