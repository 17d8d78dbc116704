"""Run a few lines in a process of their own that may use only so much memory.

Called by the chapters that show what happens when memory runs out: the limit
is enforced by the operating system, so nothing is pretended, and the reader's
own notebook is never at risk.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

from enormous.errors import DataError

_PREAMBLE = """
import resource
{imports}
def _data_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
_limit = _data_bytes() + {extra}
resource.setrlimit(resource.RLIMIT_DATA, (_limit, _limit))
"""


def run_limited(code: str, megabytes: int, *, imports: str = "") -> str:
    """Run Python code in a fresh process that may allocate only ``megabytes`` more.

    Parameters
    ----------
    code : str
        Python source; it may be indented.
    megabytes : int
        Memory allowed on top of what the interpreter and ``imports`` take, in MB.
    imports : str
        Import lines, run before the limit is set.

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
    preamble = _PREAMBLE.format(imports=textwrap.dedent(imports), extra=megabytes * 10**6)
    done = subprocess.run(
        [sys.executable, "-c", preamble + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    error = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    return "\n".join([*done.stdout.strip().splitlines(), *error])
