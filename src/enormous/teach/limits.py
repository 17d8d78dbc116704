"""Run a few lines in a process of their own that may use only so much memory.

Called by the chapters that show what happens when memory runs out: the limit
is enforced by the operating system, so nothing is pretended, and the reader's
own notebook is never at risk.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap

from enormous.errors import DataError

# What a process may take is counted by what it has reserved. So let it reserve little that it
# does not use: small stacks for its threads, read when a process starts, and one heap, from
# which freed memory goes back at once. Else what `before` has freed could be used again, and
# the limit would be larger than it says.
_SMALL_STACKS = 'ulimit -S -s 1024; exec "$@"'  # KiB
_FREED_AT_ONCE = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}

_PREAMBLE = """
import resource
{before}
def _data_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
_limit = _data_bytes() + {extra}
resource.setrlimit(resource.RLIMIT_DATA, (_limit, _limit))
"""


def run_limited(code: str, megabytes: int, *, before: str = "") -> str:
    """Run Python code in a fresh process that may allocate only ``megabytes`` more.

    Parameters
    ----------
    code : str
        Python source; it may be indented.
    megabytes : int
        Memory allowed on top of what the interpreter and ``before`` take, in MB.
    before : str
        Lines that run before the limit is set: imports, and whatever starts threads,
        whose stacks count as memory (1 MiB each).

    Returns
    -------
    str
        What the code printed; where it failed, the last line of its error after that.

    Raises
    ------
    DataError
        On systems that cannot limit a process's memory (anything but Linux).
    """
    if not sys.platform.startswith("linux"):
        raise DataError(f"a memory limit can be enforced on Linux only, not on {sys.platform}")
    preamble = _PREAMBLE.format(before=textwrap.dedent(before), extra=megabytes * 10**6)
    done = subprocess.run(
        ["sh", "-c", _SMALL_STACKS, "sh", sys.executable, "-c", preamble + textwrap.dedent(code)],
        env=os.environ | _FREED_AT_ONCE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    error = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    plain = [re.sub(r"^[\w.]+\.(\w+:)", r"\1", line) for line in error]  # without the module
    return "\n".join([*done.stdout.strip().splitlines(), *plain])
