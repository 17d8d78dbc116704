"""The real scans behind the samples: downloaded once and verified, or opened in place.

`fetch` gets the three zipped Zarr v2 files of a Zenodo record, `open_url` gives
the address of images that are read over HTTP. Called by ``enormous sample
--source real`` and by the lessons that compare a twin with its original.

What is verified, exactly. The checksums of the Zenodo files were not at hand
when this was written, so none stand here. A download is checked against, in this
order: the `known_hash` that the caller gives; the SHA-256 kept in the cache from
an earlier download; the MD5 and size in the record that Zenodo publishes (this
shows a damaged transfer, not a forged one: both come from the same server). From
a mirror, or where Zenodo's record cannot be read, the first download is trusted;
its size and SHA-256 are kept beside the data and hold from then on. The file
``<name>.json`` in the cache says which of these it was.
"""

import json
import os
import re
import shutil
import stat
import tempfile
import threading
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Literal
from urllib.parse import quote

from enormous.errors import DataError, MissingExtra, UsageError
from enormous.ledger import NODE_NAMES

_ZENODO = "https://zenodo.org/records/15544055/files"
_RECORD = "https://zenodo.org/api/records/15544055"
_H01 = (
    "Shapson-Coe et al. (2024), A petavoxel fragment of human cerebral cortex reconstructed at "
    "nanoscale resolution, Science 384, eadk4858; subset: https://doi.org/10.5281/zenodo.15544055"
)

_locks: dict[Path, threading.Lock] = {}


@dataclass(frozen=True)
class Source:
    """A real scan and where it is.

    Attributes
    ----------
    name : str
    how : {"download", "open"}
        Whether `fetch` or `open_url` gives it.
    url : str
        The folder of the download, or the image's own address.
    file : str
        The name of the Zarr folder.
    twin : str
        The generated sample that stands in for it without a network.
    licence, citation : str
    voxel_size : tuple of float or None
        Micrometres, in the stored order of axes; None where the publisher's description
        does not say: see the image's own metadata.
    record : str or None
        Where the publisher lists checksums.
    known_hash : str or None
        ``algorithm:hexdigest`` of the download; None, for the reason above.
    """

    name: str
    how: Literal["download", "open"]
    url: str
    file: str
    twin: str
    licence: str
    citation: str
    voxel_size: tuple[float, float, float] | None = None
    record: str | None = None
    known_hash: str | None = None


_INSIDE = "see the LICENSE file inside the .zarr folder"

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "heart",
            "download",
            _ZENODO,
            "200.64um_LADAF-2021-17_heart_complete-organ_pag.zarr",
            "heart",
            _INSIDE,
            "Human Organ Atlas, HiP-CT of a human heart, https://doi.org/10.15151/ESRF-DC-1773966241;"
            " as Zarr: https://doi.org/10.5281/zenodo.15544055",
            (200.64, 200.64, 200.64),
            _RECORD,
        ),
        Source(
            "dense",
            "download",
            _ZENODO,
            "H01-c3-subset.zarr",
            "dense",
            _INSIDE,
            _H01,
            record=_RECORD,
        ),
        Source(
            "sparse",
            "download",
            _ZENODO,
            "H01-proofread-104-subset.zarr",
            "sparse",
            _INSIDE,
            _H01,
            record=_RECORD,
        ),
        Source(
            "hoa-heart",
            "open",
            "https://storage.googleapis.com/ucl-hip-ct-35a68e99feaae8932b1d44da0358940b/"
            "LADAF-2020-27/heart/19.89um_complete-organ_bm18.ome.zarr",
            "19.89um_complete-organ_bm18.ome.zarr",
            "heart",
            "CC-BY-4.0",
            "Human Organ Atlas, donor LADAF-2020-27, https://human-organ-atlas.esrf.fr",
            (19.89, 19.89, 19.89),
        ),
        Source(
            "idr-6001240",
            "open",
            "https://livingobjects.ebi.ac.uk/idr/zarr/v0.4/idr0062A/6001240.zarr",
            "6001240.zarr",
            "heart",
            "CC-BY-4.0",
            "Image Data Resource, study idr0062, https://idr.openmicroscopy.org",
        ),
    )
}


def describe(name: str) -> Source:
    """Return what is known of a real scan.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in SOURCES:
        raise UsageError(f"unknown real scan {name!r}: use one of {', '.join(SOURCES)}")
    return SOURCES[name]


def open_url(name: str) -> str:
    """Return the address of an image that is opened in place.

    Parameters
    ----------
    name : str
        A source whose `how` is "open".

    Raises
    ------
    UsageError
        If the name is unknown, or that of a scan to be fetched.
    """
    source = describe(name)
    if source.how != "open":
        raise UsageError(f"{name} is a zip file to download: use fetch({name!r})")
    return source.url


def fetch(
    name: str,
    *,
    base_url: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    known_hash: str | None = None,
    timeout: float = 30.0,
    progress: bool = False,
) -> Path:
    """Download a scan if it is not in the cache, verify and unpack it.

    Threads wait for each other; processes may download side by side, and the first
    to finish gives its result to all. A failed download leaves nothing in the cache (a
    killed process may leave a folder ``.download-*``).

    Parameters
    ----------
    name : str
        A source whose `how` is "download": ``heart``, ``dense`` or ``sparse``.
    base_url : str, optional
        The folder that holds ``<file>.zip``, such as a mirror; default the environment
        variable ``ENORMOUS_DATA_URL``, then Zenodo.
    cache : path-like, optional
        Where to keep the data; default the user's cache folder, as pooch names it.
    known_hash : str, optional
        ``sha256:...`` or ``md5:...`` of the zip file (without a name: SHA-256).
    timeout : float
        Seconds to wait for a connection, and for each next piece of data.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    pathlib.Path
        The ``.zarr`` folder.

    Raises
    ------
    UsageError
        If the name is unknown or the hash is not of a known form.
    DataError
        If the download fails, is not what was expected, or cannot be stored.
    MissingExtra
        If pooch is not installed.
    """
    source = describe(name)
    if source.how != "download":
        raise UsageError(f"{name} is opened where it is, not downloaded: use open_url({name!r})")
    pooch = _pooch()
    expected = None if known_hash is None else _parse_hash(known_hash)
    folder = Path(cache if cache is not None else pooch.os_cache("enormous")).absolute()
    base = base_url or os.environ.get("ENORMOUS_DATA_URL") or source.url
    target = folder / source.file
    with _locks.setdefault(target, threading.Lock()):
        kept = _read_json(folder / f"{source.file}.json")
        if target.is_dir():
            if expected and kept.get(expected[0]) != expected[1]:
                raise DataError(
                    f"{target} came from a file with another {expected[0]}: "
                    "delete it to download again"
                )
            return target
        folder.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
        try:
            _get_and_unpack(source, base, working, kept, expected, timeout, progress)
            _publish(working, target)
        except OSError as error:  # DataError is not one
            reason = error.strerror or error
            raise DataError(f"cannot store {source.file} in {folder}: {reason}") from error
        finally:
            shutil.rmtree(working, ignore_errors=True)
    return target


def _get_and_unpack(
    source: Source,
    base: str,
    working: Path,
    kept: dict[str, Any],
    expected: tuple[str, str] | None,
    timeout: float,
    progress: bool,
) -> None:
    """Leave ``data`` (the Zarr folder) and ``data.json`` (its origin) in `working`."""
    official = base == source.url
    url = f"{base.rstrip('/')}/{quote(source.file)}.zip{'?download=1' if official else ''}"
    trust = "the caller's checksum"
    if expected is None and source.known_hash:
        expected, trust = _parse_hash(source.known_hash), "the checksum in this package"
    if expected is None and kept.get("sha256"):
        expected, trust = ("sha256", kept["sha256"]), "the checksum of the first download"
    if expected is None and official and source.record:
        expected, trust = _published_hash(source, timeout), "the publisher's record"
    archive = working / "archive.zip"
    _download(source, url, archive, timeout, progress)
    pooch = _pooch()
    hashes = {name: pooch.file_hash(str(archive), alg=name) for name in ("sha256", "md5")}
    if expected and hashes[expected[0]] != expected[1]:
        raise DataError(
            f"{url} is not the expected file: its {expected[0]} is {hashes[expected[0]]}, "
            f"{trust} is {expected[1]}"
        )
    size = archive.stat().st_size
    _unpack(archive, source.file, working / "data", url)
    archive.unlink()
    origin = {"url": url, "size": size, **hashes, "trusted": trust if expected else "first use"}
    (working / "data.json").write_text(json.dumps(origin, indent=2))


def _publish(working: Path, target: Path) -> None:
    """Move the finished data into place; who comes second keeps what is there."""
    try:
        os.rename(working / "data", target)
    except OSError:
        if not target.is_dir():
            raise
        return
    os.replace(working / "data.json", target.with_name(f"{target.name}.json"))


def _download(source: Source, url: str, file: Path, timeout: float, progress: bool) -> None:
    import requests

    bar = _Bar(source.file) if progress else None
    get = _pooch().HTTPDownloader(timeout=timeout, chunk_size=1 << 20, progressbar=bar or False)
    try:
        get(url, str(file), None)
    except requests.exceptions.RequestException as error:
        raise _no_download(source, url, error, timeout) from error
    finally:
        if bar is not None:
            bar.close()


def _published_hash(source: Source, timeout: float) -> tuple[str, str] | None:
    """Return what the Zenodo record says of the file, None if it cannot be read."""
    import requests

    assert source.record is not None
    try:
        answer = requests.get(source.record, timeout=timeout)
    except requests.exceptions.RequestException as error:
        raise _no_download(source, source.record, error, timeout) from error
    try:
        files = answer.json()["files"] if answer.ok else []
        listed = {file.get("key") or file.get("filename"): file["checksum"] for file in files}
        return _parse_hash(listed[f"{source.file}.zip"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # no such record any more: the first download is trusted, and recorded so


def _no_download(source: Source, url: str, error: Exception, timeout: float) -> DataError:
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        reason = f"the server answered {response.status_code}"
    elif isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
        reason = f"no answer for {timeout:g} s"
    elif "IncompleteRead" in str(error):
        reason = "the connection broke off"
    else:
        reason = "no connection"
    return DataError(
        f"cannot download {url}: {reason}; without a network, make its twin: "
        f"enormous sample {source.twin} OUT"
    )


def _unpack(archive: Path, name: str, into: Path, url: str) -> None:
    """Unpack the Zarr folder `name` (or the root, if that is the Zarr folder)."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            entries = zipped.infolist()
            for entry in entries:
                _check_entry(entry, url)
            names = {entry.filename for entry in entries}
            root = "" if names.intersection(NODE_NAMES) else f"{name}/"
            if not any(f"{root}{node}" in names for node in NODE_NAMES):
                raise DataError(f"{url} holds no Zarr folder {name}")
            wanted = [e for e in entries if e.filename.startswith(root) and not e.is_dir()]
            needed, free = sum(e.file_size for e in wanted), shutil.disk_usage(into.parent).free
            if needed > free:
                raise DataError(
                    f"{name} needs {needed / 1e9:.1f} GB, {into.parent.parent} has {free / 1e9:.1f}"
                )
            for entry in wanted:
                path = into / entry.filename.removeprefix(root)
                path.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(entry) as packed, path.open("xb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{url} is not a whole zip archive: {error}") from error


def _check_entry(entry: zipfile.ZipInfo, url: str) -> None:
    """Refuse what could write outside, or is neither a file nor a folder."""
    name = entry.filename
    leads_out = (
        name.startswith("/")
        or "\\" in name
        or re.match(r"[A-Za-z]:", name)
        or ".." in PurePosixPath(name).parts
    )
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if leads_out or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(
            f"{url} is not to be trusted: it would write {name!r}; nothing was unpacked"
        )
    if entry.flag_bits & 1:
        raise DataError(f"{url} is encrypted: it cannot be unpacked")


def _parse_hash(text: str) -> tuple[str, str]:
    algorithm, _, digest = text.lower().rpartition(":")
    algorithm = algorithm or "sha256"
    lengths = {"sha256": 64, "md5": 32}
    if algorithm not in lengths or not re.fullmatch(rf"[0-9a-f]{{{lengths[algorithm]}}}", digest):
        raise UsageError(f"{text!r} is no checksum: give sha256:<64 hex digits> or md5:<32>")
    return algorithm, digest


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path} is damaged: delete it and its folder to download again") from error
    return dict(content)


def _pooch() -> ModuleType:
    try:
        import pooch
    except ImportError:
        raise MissingExtra("pooch", "cloud") from None
    return pooch  # type: ignore[no-any-return]


class _Bar:
    """A progress bar of rich in the form that pooch drives."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(label, total=None)
        self._progress.start()

    @property
    def total(self) -> float | None:
        return self._progress.tasks[0].total

    @total.setter
    def total(self, nbytes: int) -> None:
        self._progress.update(self._task, total=nbytes)

    def update(self, nbytes: int) -> None:
        self._progress.advance(self._task, nbytes)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()
