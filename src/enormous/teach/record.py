"""Run chapters and record what they cost: ``python -m enormous.teach.record [chapter ...]``.

Called by ``make record``. Each page with code runs top to bottom in a fresh
kernel, in a copy of ``book/``, and must leave neither there nor in the
temporary folder anything behind. Wall seconds, peak memory and glued values go
to ``book/reference/runs.json``, which the chapters' cards, the status page and
the notebooks read::

    {"machine": {"cpu", "cores", "memory_gb", "python", "versions": {name: version}},
     "chapters": {"1-chunks/how-big":
        {"seconds", "peak_mb", "code_sha256", "glue": {name: text}}}}

A chapter is run again when its code cells changed; on another machine, or with
other versions, all are, because the file names one machine for all.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from enormous.errors import DataError, EnormousError, UsageError
from enormous.teach.source import RUNS, Block, Book, Chapter

#: What a chapter may cost, and all together.
MAX_SECONDS = 60.0
MAX_PEAK_MB = 1500.0
MAX_SECONDS_IN_ALL = 480.0

CELL_TIMEOUT = 120  # seconds: a chapter that hangs is told apart from a slow one
SAMPLE_EVERY = 0.05  # seconds between two looks at memory
#: Whose versions are recorded: what chapters compute with.
PACKAGES = (
    *("enormous", "numpy", "zarr", "numcodecs", "tensorstore", "obstore", "numba", "dask"),
    *("distributed", "scipy", "scikit-image", "tifffile", "imagecodecs", "matplotlib"),
)


def run_chapter(book: Book, chapter: Chapter) -> dict[str, Any]:
    """Run one chapter in a fresh kernel and measure it.

    Parameters
    ----------
    book : Book
    chapter : Chapter

    Returns
    -------
    dict
        ``seconds`` (wall, from the start of the kernel to the end of the last
        cell), ``peak_mb`` (resident memory of the kernel and its children, in
        10⁶ bytes; what processes share counts for each of them),
        ``code_sha256`` and ``glue``.

    Raises
    ------
    DataError
        If a cell fails, a solution is not right, a name is glued twice, or a
        file is left behind.
    """
    with tempfile.TemporaryDirectory(prefix="enormous-record-") as name:
        folder = Path(name).resolve()
        shutil.copytree(book.root / "book", folder / "book")
        (folder / "tmp").mkdir()
        before = _listing(folder)
        where = folder / chapter.path.parent.relative_to(book.root)
        outputs, seconds, peak = _execute(chapter, where, folder / "tmp")
        left = sorted(_listing(folder) ^ before)
    if left:
        files = ", ".join(dict.fromkeys(path for path, _, _ in left))
        raise DataError(
            f"{chapter.name}: leaves behind or changes {files}: clean up in the chapter"
        )
    return {
        "seconds": round(seconds, 1),
        "peak_mb": round(peak / 1e6),
        "code_sha256": chapter.code_sha256,
        "glue": _glued(chapter, outputs),
    }


def record(book: Book, names: list[str] | None = None, *, everything: bool = False) -> list[str]:
    """Run what has no valid record and write ``runs.json``.

    Parameters
    ----------
    book : Book
    names : list of str, optional
        Chapters to run whether or not their code changed; all others with
        code that changed are left alone. By default all that changed.
    everything : bool
        Run every chapter.

    Returns
    -------
    list of str
        Names of the chapters that ran.

    Raises
    ------
    UsageError
        If a name is not that of a page with code.
    DataError
        As `run_chapter` does; what ran before is already written.
    """
    pages = {page.name: page for page in book.with_code}
    unknown = sorted(set(names or ()) - pages.keys())
    if unknown:
        raise UsageError(f"{unknown[0]}: no page with code; there are {', '.join(pages)}")
    machine = describe_machine()
    moved = book.runs["machine"] != machine
    known = {} if moved else {k: v for k, v in book.runs["chapters"].items() if k in pages}
    if everything or moved:
        due = list(pages)
    else:
        due = names or [name for name in pages if name in stale(book)]
    if moved and book.runs["chapters"] and not everything:
        print("Another machine, or other versions: every chapter runs anew.", file=sys.stderr)
    for name in due:
        print(f"{name}: running", file=sys.stderr)
        known[name] = run_chapter(book, pages[name])
        print(f"{name}: {known[name]['seconds']} s, {known[name]['peak_mb']} MB", file=sys.stderr)
        _write(book, {"machine": machine, "chapters": known})
    if not due and known.keys() != book.runs["chapters"].keys():
        _write(book, {"machine": machine, "chapters": known})
    return due


def stale(book: Book) -> dict[str, str]:
    """Return why each page with code needs a new run, by name; empty if none does."""
    reasons = {}
    for page in book.with_code:
        run = book.runs["chapters"].get(page.name)
        if run is None:
            reasons[page.name] = "never recorded"
        elif run["code_sha256"] != page.code_sha256:
            reasons[page.name] = "its code changed since it was recorded"
    return reasons


def over_budget(book: Book) -> list[str]:
    """Return one line for each limit that the recorded runs exceed."""
    runs = book.runs["chapters"]
    lines = []
    for name, run in sorted(runs.items()):
        if run["seconds"] > MAX_SECONDS:
            lines.append(f"{name}: runs {run['seconds']} s; at most {MAX_SECONDS:.0f} s")
        if run["peak_mb"] > MAX_PEAK_MB:
            lines.append(f"{name}: needs {run['peak_mb']} MB; at most {MAX_PEAK_MB:.0f} MB")
    total = sum(run["seconds"] for run in runs.values())
    if total > MAX_SECONDS_IN_ALL:
        lines.append(f"all chapters: run {total:.0f} s; at most {MAX_SECONDS_IN_ALL:.0f} s")
    return lines


def describe_machine() -> dict[str, Any]:
    """Describe the machine and the packages that a run depends on."""
    import psutil

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # of an extra that this environment does not have
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
        "versions": versions,
    }


class PeakMemory:
    """Watch the resident memory of a process and its children from a thread.

    On Linux the kernel's own high-water mark of the process (``VmHWM``) is
    read as well, so that no peak between two looks is missed. Unlike
    ``ru_maxrss`` it does not inherit the peak of the process that forked.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._peak = 0

    def start(self, pid: int) -> None:
        """Begin to watch process `pid`."""
        import psutil

        self._process = psutil.Process(pid)
        self._thread.start()

    def stop(self) -> int:
        """Stop watching; returns the peak in bytes, 0 if it never began."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            self._peak = max(self._peak, self._high_water_mark())
        return self._peak

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            self._peak = max(self._peak, self._resident())

    def _resident(self) -> int:
        import psutil

        total = 0
        try:
            family = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        for process in family:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue  # ended between listing and looking: it holds nothing now
        return total

    def _high_water_mark(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.is_file():
            return 0  # not Linux, or the process is gone
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0


def _execute(chapter: Chapter, where: Path, scratch: Path) -> tuple[list[list[Any]], float, int]:
    """Run the cells; returns outputs by cell, wall seconds and peak bytes."""
    import nbformat.v4
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook.cells = [_cell(block) for block in chapter.code]
    # an asynchronous manager: with a blocking one, nbclient waits for a dead kernel forever
    kernel = AsyncKernelManager(kernel_name="python3")
    memory = PeakMemory()
    running = [0]
    client = NotebookClient(
        notebook,
        km=kernel,
        timeout=CELL_TIMEOUT,
        extra_arguments=["--log-level=ERROR"],
        on_notebook_start=lambda notebook: memory.start(_pid(kernel)),
        on_cell_execute=lambda cell, cell_index: running.append(cell_index),
    )
    start = time.perf_counter()
    try:
        client.execute(cwd=str(where), env=_environment(scratch))
        seconds = time.perf_counter() - start
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        line = chapter.code[running[-1]].line
        reason = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip().splitlines()[-1]
        raise DataError(f"{chapter.path.name}:{line}: the cell fails: {reason}") from error
    finally:
        peak = memory.stop()
        if client.kc is not None:
            client.kc.stop_channels()
        if kernel.has_kernel:
            run_sync(kernel.shutdown_kernel)(now=True)
    return [cell.outputs for cell in notebook.cells], seconds, peak


def _environment(scratch: Path) -> dict[str, str]:
    """Make the kernel's environment: a temporary folder of its own, and our commands found."""
    commands = Path(sys.executable).parent  # as in an activated environment
    path = os.pathsep.join(filter(None, (str(commands), os.environ.get("PATH", ""))))
    # TMPDIR for POSIX, TEMP and TMP for Windows
    return os.environ | {"PATH": path} | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))


def _cell(block: Block) -> Any:
    """Make a cell; a shell command that is not found fails it, which IPython would let pass."""
    import nbformat.v4

    found = r"\1\2\n\1assert _exit_code not in (126, 127), 'no such command'"
    code = re.sub(r"^([ \t]*)(!(?:[^\n]*\\\n)*[^\n]*)$", found, block.text, flags=re.M)
    cell = nbformat.v4.new_code_cell(code)  # type: ignore[no-untyped-call]
    cell.metadata["tags"] = block.tags
    return cell


def _pid(kernel: Any) -> int:
    pid = kernel.provisioner.pid
    if pid is None:
        raise DataError("the kernel did not start: is ipykernel installed?")
    return int(pid)


def _glued(chapter: Chapter, outputs: list[list[Any]]) -> dict[str, str]:
    """Collect glued texts, and see on the way that every solution is right."""
    glue: dict[str, str] = {}
    for block, found in zip(chapter.code, outputs, strict=True):
        where = f"{chapter.path.name}:{block.line}"
        for output in found:
            wrong = re.search(r"^Exercise \S+: not .*", output.get("text", ""), re.M)
            if wrong and block.region and block.region.kind == "solution":
                raise DataError(f"{where}: the solution is not right: {wrong[0]}")
            scrap = output.get("metadata", {}).get("scrapbook")
            if scrap is None:
                continue
            name = scrap["name"]
            if name in glue:
                raise DataError(f"{where}: {name!r} is glued twice: use another name")
            text = output["data"].get(f"{scrap['mime_prefix']}text/plain", "")
            glue[name] = _unquoted(text)
    return glue


def _unquoted(text: str) -> str:
    """Return what ``{glue:text}`` shows: strings without their quotes."""
    try:
        return str(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return text


def _listing(folder: Path) -> set[tuple[str, int, int]]:
    found = set()
    for path in folder.rglob("*"):
        state = path.stat()
        size, modified = (0, 0) if path.is_dir() else (state.st_size, state.st_mtime_ns)
        found.add((path.relative_to(folder).as_posix(), size, modified))
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _write(book: Book, runs: dict[str, Any]) -> None:
    path = book.root / RUNS
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(runs, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m enormous.teach.record")
    parser.add_argument("chapter", nargs="*", help="such as 1-chunks/how-big")
    parser.add_argument("--all", action="store_true", help="run every chapter")
    parser.add_argument("--root", type=Path, help="the repository (default: found from here)")
    given = parser.parse_args(arguments)
    try:
        book = Book(given.root)
        ran = record(book, given.chapter, everything=given.all)
        lines = over_budget(Book(book.root))
    except EnormousError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(ran)} chapters ran." if ran else "Every record is of the code as it is.")
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
