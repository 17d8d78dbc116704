"""One URL or path in; a zarr store, a tensorstore spec or a byte store out.

Whatever the toolkit reads or writes is named by a person as a path or a URL.
`locate` says what it is; the `Location` opens it for each library. Called by
every operation and by the command line, which also asks `check_new` before it
writes. Kinds: a folder (or any path), ``memory://name`` (this process only),
a zip archive, ``http(s)://`` (read only).
"""

import errno
import json
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from enormous._text import reason_text
from enormous.errors import DataError, UsageError
from enormous.ledger import NODE_NAMES

if TYPE_CHECKING:
    from zarr.abc.store import Store

Kind = Literal["file", "memory", "zip", "http"]
Mode = Literal["r", "r+", "a", "w", "w-"]

ARCHIVES = (".zip", ".ozx")  # .ozx: the suffix OME-Zarr gives its zip files
_NOT_YET = frozenset({"s3", "gs", "gcs", "az", "azure", "abfs", "abfss"})
_ZIP_MODES: dict[str, Literal["r", "w", "a"]] = {"r": "r", "r+": "a", "a": "a", "w": "w", "w-": "w"}
# A server that does not answer is given up after seconds, not obstore's three minutes.
_HTTP_RETRY: dict[str, Any] = {"max_retries": 2}
_HTTP_CLIENT: dict[str, Any] = {"connect_timeout": "10s", "timeout": "60s", "allow_http": True}

_memory: dict[str, Any] = {}  # name -> obstore MemoryStore
_memory_lock = threading.Lock()


@dataclass(frozen=True)
class Location:
    """Where data are, and how each library opens it; made by `locate`.

    Attributes
    ----------
    url : str
        The absolute path or the URL, as a person can paste it back.
    kind : {"file", "memory", "zip", "http"}
    base : str
        What holds the data: folder, memory name, zip file, or URL.
    inner : str
        The path below `base` (of a zip archive or memory), "" at its root.
    """

    url: str
    kind: Kind
    base: str = field(repr=False)
    inner: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.url

    def zarr(self, mode: Mode = "r") -> "Store":
        """Open as a zarr store whose root is this location.

        Parameters
        ----------
        mode : {"r", "r+", "a", "w", "w-"}
            "r" gives a read-only store. Of the others, "w" empties a zip archive and
            "w-" refuses what exists; a folder is emptied by zarr, not here. A zip archive
            is complete when its store is closed, so write it in a ``with`` block.

        Raises
        ------
        UsageError
            If nothing is there to read, if it cannot be written, or on an unknown mode.
        """
        if mode not in _ZIP_MODES:
            raise UsageError(f"unknown mode {mode!r}: use one of {', '.join(_ZIP_MODES)}")
        self._check(mode)
        from zarr.storage import LocalStore, ObjectStore, ZipStore

        read_only = mode == "r"
        if self.kind == "file":
            return LocalStore(self.base, read_only=read_only)
        if self.kind == "zip":
            how = _ZIP_MODES[mode]
            return self._below(ZipStore(self.base, mode=how, read_only=read_only))
        store, _ = self.bytes(create=not read_only)
        return self._below(ObjectStore(store, read_only=read_only))

    def tensorstore(self) -> dict[str, Any]:
        """Return the tensorstore ``kvstore`` spec whose root is this location.

        Raises
        ------
        UsageError
            For ``memory://``, which tensorstore cannot see.
        """
        if self.kind == "file":
            return {"driver": "file", "path": f"{_posix(self.base).rstrip('/')}/"}
        if self.kind == "zip":
            base = {"driver": "file", "path": _posix(self.base)}
            return {"driver": "zip", "base": base, "path": f"{self.inner}/" if self.inner else ""}
        if self.kind == "http":
            return {"driver": "http", "base_url": f"{self.base}/"}
        raise UsageError(f"{self.url}: tensorstore cannot see memory://; use a folder instead")

    def bytes(self, *, create: bool = False) -> tuple[Any, str]:
        """Open as an obstore store, for encoded bytes.

        Parameters
        ----------
        create : bool
            Make the folder or the memory if it is not there.

        Returns
        -------
        store : obstore.store.ObjectStore
        prefix : str
            What to put before each key ("" or a path that ends in a slash).

        Raises
        ------
        UsageError
            For a zip archive, or if nothing is there and `create` is false.
        """
        from obstore.store import HTTPStore, LocalStore, MemoryStore

        if self.kind == "zip":
            raise UsageError(f"{self.url}: encoded bytes cannot be moved in zip files; unpack it")
        self._check("a" if create else "r")
        if self.kind == "file":
            return LocalStore(self.base, mkdir=create), ""
        if self.kind == "http":
            http: Any = HTTPStore.from_url
            return http(self.base, client_options=_HTTP_CLIENT, retry_config=_HTTP_RETRY), ""
        with _memory_lock:
            store = _memory.setdefault(self.base, MemoryStore())
        return store, f"{self.inner}/" if self.inner else ""

    def _check(self, mode: str) -> None:
        """Refuse, in one line, what zarr or obstore would refuse in a traceback."""
        if self.kind == "http" and mode != "r":
            raise UsageError(f"{self.url} can only be read: write to a folder")
        if self.kind == "file" and os.path.isfile(self.base):
            raise UsageError(f"{self.url} is a file, neither a Zarr folder nor a .zip of one")
        if mode == "w-" and exists(self):
            raise UsageError(f"{self.url} exists: choose another output")
        if mode in ("r", "r+") and self.kind != "http" and not exists(self):
            hint = "it lives in its own process only" if self.kind == "memory" else "check the path"
            raise UsageError(f"{self.url} does not exist: {hint}")

    def _below(self, store: "Store") -> "Store":
        if not self.inner:
            return store
        from enormous._prefix_store import PrefixStore

        return PrefixStore(store, self.inner)


def locate(url: "str | os.PathLike[str] | Location") -> Location:
    """Say what a path or URL is; touches nothing but the names of zip archives.

    Parameters
    ----------
    url : str, path-like or Location
        A path (``~`` is the home folder), ``file://``, ``memory://name[/path]``,
        ``http(s)://``, or a zip archive with or without a path inside
        (``scan.zip/0``; a folder of that name is a folder).

    Raises
    ------
    UsageError
        If the URL is of no kind the toolkit can open.
    """
    if isinstance(url, Location):
        return url
    text = os.fspath(url)
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is neither a path nor a URL")
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        return _locate_path(os.path.expanduser(text))
    if scheme == "file":
        return _locate_path(_path_of_file_url(text))
    if scheme == "memory":
        name, _, inner = "/".join(part for part in rest.split("/") if part).partition("/")
        if not name:
            raise UsageError(f"{text} needs a name: memory://name")
        return Location(f"memory://{name}/{inner}".rstrip("/"), "memory", name, inner)
    if scheme in ("http", "https"):
        return _locate_http(text)
    if scheme in _NOT_YET:
        raise UsageError(
            f"{text}: {scheme}:// is not supported yet; use the bucket's https:// address or a copy"
        )
    raise UsageError(f"{text}: unknown scheme {scheme}://; use a path, memory:// or http(s)://")


def join(url: "str | os.PathLike[str] | Location", *parts: str) -> str:
    """Return the URL of something below `url`.

    Parameters
    ----------
    url : str, path-like or Location
    *parts : str
        Names or relative paths, as OME-Zarr metadata gives them (not percent-encoded).

    Raises
    ------
    UsageError
        If a part leads out of `url` (``..``).
    """
    location = locate(url)
    names = [name for part in parts for name in part.split("/") if name not in ("", ".")]
    if ".." in names:
        raise UsageError(f"{'/'.join(parts)!r} leads out of {location.url}: '..' is not allowed")
    if location.kind == "http":
        names = [quote(name) for name in names]
    return "/".join([location.url.rstrip("/"), *names]) if names else location.url


def exists(url: "str | os.PathLike[str] | Location") -> bool:
    """Whether anything is there.

    Over HTTP: whether the server has a file there, or Zarr metadata below (a plain
    server has no folders).

    Raises
    ------
    DataError
        If a zip archive is broken, a server does not answer, or a folder above may not be read.
    """
    location = locate(url)
    if location.kind == "file":
        return _on_disk(location.base)
    if location.kind == "http":
        return _on_server(location)
    prefix = f"{location.inner}/" if location.inner else ""
    if location.kind == "zip":
        names = _zip_names(location.base)
        return os.path.lexists(location.base) and (
            not prefix or any(name.startswith(prefix) or name == location.inner for name in names)
        )
    store = _memory.get(location.base)
    return store is not None and any(store.list(prefix or None))


def _on_disk(path: str) -> bool:
    try:
        os.lstat(path)
    except PermissionError as error:  # "does not exist" would send people to look for a typo
        raise DataError(f"{path} cannot be looked at: permission denied in its folder") from error
    except OSError:
        return False
    return True


def forget(url: str) -> None:
    """Free the memory behind a ``memory://name``; nothing happens if there is none."""
    _memory.pop(locate(url).base, None)


def check_new(url: "str | os.PathLike[str] | Location", overwrite: bool = False) -> Location:
    """Make sure that an output may be written, before anything is.

    Parameters
    ----------
    url : str, path-like or Location
    overwrite : bool
        Whether something that exists (other than an empty folder) may be replaced.

    Returns
    -------
    Location

    Raises
    ------
    UsageError
        If it cannot be written, exists, or is or lies inside an existing Zarr array,
        links followed (`overwrite` does not allow this: it would leave an image without
        that level).
    """
    location = locate(url)
    if location.kind == "http":
        raise UsageError(f"{location.url} can only be read: choose a folder for the output")
    real = location
    if location.kind in ("file", "zip"):  # no link may lead into an array either
        real = locate(os.path.realpath(location.base))
    checked = [location, *_parents(location)]
    checked += [real, *_parents(real)] if real.base != location.base else []
    for above in checked:
        if _is_array(above):
            relation = "is" if above == location else f"lies inside {above.url},"
            relation = f"is a link to {above.url}," if above == real != location else relation
            raise UsageError(
                f"{location.url} {relation} an existing Zarr array: choose another output"
            )
        if above not in (location, real) and above.kind == "file" and os.path.isfile(above.base):
            raise UsageError(
                f"{location.url} lies below a file, {above.url}: choose another output"
            )
    empty_folder = (
        location.kind == "file" and os.path.isdir(location.base) and not os.listdir(location.base)
    )
    if empty_folder or not exists(location):
        return location
    if not overwrite:
        raise UsageError(f"{location.url} exists: choose another output, or pass --overwrite")
    if location.kind == "file" and _holds_more_than_data(location.base):
        raise UsageError(f"{location.url} is not an output to overwrite: choose another")
    return location


def check_links(path: str) -> None:
    """Make sure that following links to an output makes no folders where they once led.

    Where a disk is not mounted, that would be on the disk below. The output itself may be a
    link to what is yet to be made, in a folder that is there. Called before links are followed.

    Parameters
    ----------
    path : str
        Absolute.

    Raises
    ------
    UsageError
        It names the link and where it leads.
    """
    for place in [path, *(above.base for above in _parents(Location(path, "file", path)))]:
        target = os.path.realpath(place)
        needed = os.path.dirname(target) if place == path else target
        if os.path.islink(place) and not os.path.exists(needed):
            raise UsageError(
                f"{place} is a link to {os.readlink(place)}, and {needed} does not exist: make "
                "that folder, or choose another output"
            )


def _holds_more_than_data(path: str) -> bool:
    """Whether a folder is a disk, the home or the working folder, or above one of them."""
    real = os.path.realpath(path)
    kept = [os.path.realpath(place) for place in (os.path.expanduser("~"), os.getcwd())]
    return os.path.ismount(real) or any(
        f"{place}{os.sep}".startswith(f"{real}{os.sep}") for place in kept
    )


def _locate_path(text: str) -> Location:
    path = os.path.abspath(text)
    names = _posix(path).split("/")
    for count, name in enumerate(names, start=1):
        archive = "/".join(names[:count])
        if name.lower().endswith(ARCHIVES) and not os.path.isdir(archive):
            return Location(path, "zip", os.path.abspath(archive), "/".join(names[count:]))
    return Location(path, "file", path)


def _path_of_file_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise UsageError(f"{text}: a file:// URL names a path on this machine: file:///path")
    from urllib.request import url2pathname  # brings in http and ssl: rarely needed

    return url2pathname(parts.path)


def _locate_http(text: str) -> Location:
    parts = urlsplit(text)
    if not parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"{text}: give a plain http(s):// address, without ? or #")
    if parts.path.lower().rstrip("/").endswith(ARCHIVES):
        raise UsageError(f"{text}: a zip archive cannot be read over HTTP; download it first")
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~").rstrip("/")
    url = f"{parts.scheme.lower()}://{parts.netloc}{path}"
    return Location(url, "http", url)


def _posix(path: str) -> str:
    return path.replace(os.sep, "/")


def _parents(location: Location) -> Iterator[Location]:
    """Yield what holds `location`, from the inside out."""
    inner = location.inner
    while inner:
        inner = inner.rpartition("/")[0]
        url = f"{location.url.removesuffix(location.inner)}{inner}".rstrip("/")
        yield replace(location, url=url, inner=inner)
    if location.kind in ("file", "zip"):
        path = location.base
        while (above := os.path.dirname(path)) != path:
            yield Location(above, "file", above)
            path = above


def _is_array(location: Location) -> bool:
    if _read(location, ".zarray") is not None:
        return True
    text = _read(location, "zarr.json")
    try:
        metadata = None if text is None else json.loads(text)
    except ValueError:  # some other program's zarr.json: no array of ours to protect
        return False
    return isinstance(metadata, dict) and metadata.get("node_type") == "array"


def _read(location: Location, name: str) -> bytes | None:
    """Return a small file of a location that can be written to, None if it is not there."""
    key = f"{location.inner}/{name}" if location.inner else name
    try:
        if location.kind == "file":
            with open(os.path.join(location.base, name), "rb") as file:
                return file.read()
        if location.kind == "zip":
            if key not in _zip_names(location.base):
                return None
            with zipfile.ZipFile(location.base) as archive:
                return archive.read(key)
        store = _memory.get(location.base)
        return None if store is None else bytes(store.get(key).bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link that leads to itself
            return None
        place = os.path.join(location.base, name)
        raise DataError(f"{place} cannot be read: {error.strerror or error}") from error


def _zip_names(path: str) -> frozenset[str]:
    if not os.path.exists(path):  # or a link to nothing
        return frozenset()
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} is not a readable zip archive: {error}") from error


def _on_server(location: Location) -> bool:
    from obstore.exceptions import BaseError
    from obstore.store import HTTPStore

    folder, _, name = location.base.rpartition("/")
    if folder.endswith("/"):  # the server's root has no name of its own
        folder, name = location.base, ""
    candidates = [f"{name}/{file}".lstrip("/") for file in NODE_NAMES]
    http: Any = HTTPStore.from_url
    store = http(folder, client_options=_HTTP_CLIENT, retry_config=_HTTP_RETRY)
    try:
        return any(_has(store, key) for key in [*candidates, *([name] if name else [])])
    except BaseError as error:
        raise DataError(f"{location.url} cannot be reached: {reason_text(error)}") from error


def _has(store: Any, key: str) -> bool:
    try:
        store.head(key)
    except FileNotFoundError:
        return False
    return True
