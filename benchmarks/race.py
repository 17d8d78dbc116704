"""Race callables that live in different environments: interleaved runs, one process each.

Used by the benchmarks beside it. A contestant is a Python file with ``prepare(**options)``,
which returns a callable; it is imported and warmed once in a process of its own, then asked
to run again and again, so that start-up and compilation are not timed, and no environment
needs to hold two peers. Peers' environments are made on demand below ``_build/peers``.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "_build" / "peers"

_WORKER = """
import importlib.util, json, sys, threading, time

def anonymous():  # what the system cannot take back: without pages of files that are mapped
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

class Peak(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.bytes, self.over = anonymous(), threading.Event()
    def run(self):
        while not self.over.wait(0.02):
            self.bytes = max(self.bytes, anonymous())

spec = importlib.util.spec_from_file_location("contestant", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
answers, sys.stdout = sys.stdout, sys.stderr
run = module.prepare(**json.loads(sys.argv[2]))
print("ready", file=answers, flush=True)
for line in sys.stdin:
    peak = Peak()
    peak.start()
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    peak.over.set()
    print(json.dumps({"seconds": seconds, "peak": peak.bytes}), file=answers, flush=True)
"""


@dataclass
class Contestant:
    """One side of a race: a file, its options, and the environment it needs.

    Parameters
    ----------
    name : str
        As it stands in the table.
    file : str
        Below ``benchmarks/contestants``.
    options : dict
        JSON values for its ``prepare``.
    needs : sequence of str
        Requirements of a peer's environment, pinned; none: the project's own.
    python : str
        Interpreter that the peer's environment is made with.
    """

    name: str
    file: str
    options: dict[str, Any] = field(default_factory=dict)
    needs: Sequence[str] = ()
    python: str = sys.executable
    runs: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> None:
        """Import and warm it in a process of its own."""
        interpreter = _environment(self.needs, self.python) if self.needs else sys.executable
        script = str(HERE / "contestants" / self.file)
        self._process = subprocess.Popen(
            [interpreter, "-c", _WORKER, script, json.dumps(self.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {self.name} ended with code {self._process.wait()}")
        return line

    def run(self) -> None:
        """Once more."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.runs.append(json.loads(self._answer()))

    def stop(self) -> None:
        """End its process."""
        self._process.stdin.close()
        self._process.wait()

    def median(self, what: str = "seconds") -> float:
        """Median of all runs."""
        return statistics.median(run[what] for run in self.runs)

    def spread(self) -> str:
        """Seconds as median (lowest to highest)."""
        seconds = [run["seconds"] for run in self.runs]
        return f"{self.median():.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def race(contestants: Sequence[Contestant], runs: int) -> None:
    """Start all, then run each once in turn, `runs` times over."""
    for one in contestants:
        one.start()
    for _ in range(runs):
        for one in contestants:
            one.run()
    for one in contestants:
        one.stop()


def ratios(one: Contestant, other: Contestant) -> str:
    """How many times longer `one` took than `other`: median of the paired runs, and the spread."""
    pairs = [a["seconds"] / b["seconds"] for a, b in zip(one.runs, other.runs, strict=True)]
    return f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"


def _environment(needs: Sequence[str], python: str) -> str:
    """Interpreter of an environment with these requirements, made if it is not there."""
    name = "-".join(needs).replace("=", "").replace("[", "-").replace("]", "")
    folder = ENVIRONMENTS / name
    interpreter = folder / "bin" / "python"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        install = [interpreter, "-m", "pip", "install", "-qq", *needs]
        subprocess.run(install, check=True, env=clean)
        (folder / "made").touch()
    return str(interpreter)
