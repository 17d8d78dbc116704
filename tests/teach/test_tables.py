from __future__ import annotations

import sys

import pytest

from enormous.teach.limits import run_limited
from enormous.teach.tables import Table, human_time


def test_a_table_reads_in_a_terminal_and_in_a_page() -> None:
    table = Table(["scan", "files", "ratio"], [["heart <full>", 1234567, 1.879], ["x", 1, 2.0]])
    assert repr(table).splitlines() == [
        "scan              files  ratio",
        "------------------------------",
        "heart <full>  1,234,567   1.88",
        "x                     1      2",
    ]
    page = table._repr_html_()
    assert page.count('scope="col"') == 3
    assert page.count('<th scope="row">') == 2
    assert "heart &lt;full&gt;" in page


def test_times_as_people_say_them() -> None:
    said = [human_time(s) for s in (0.04, 1, 60, 7560, 7_171_200, 1e9)]
    assert said == ["40 ms", "1 s", "60 s", "2.1 hours", "83 days", "31.7 years"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory limits need Linux")
def test_a_memory_limit_is_enforced_and_leaves_room_below_it() -> None:
    ask = "x = bytearray({n} * 10**6); print(len(x))"
    assert run_limited(ask.format(n=20), 60) == "20000000"
    assert run_limited(ask.format(n=80), 60) == "MemoryError"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")
def test_memory_that_was_freed_before_the_limit_is_not_given_on_top():
    before = "import numpy as np\nfor n in (20, 10, 20): np.ones(n * 125_000)\nheld = []"
    fill = "\nwhile len(held) < 200: held.append(np.ones(125_000))"
    ask = f"try:{fill.replace(chr(10), chr(10) + ' ')}\nexcept MemoryError: print(len(held))"
    assert 45 <= int(run_limited(ask, 50, before=before)) <= 60  # MB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")
def test_a_thread_costs_little_of_the_limit():
    ask = """
    import threading
    done = threading.Event()
    many = [threading.Thread(target=done.wait, daemon=True) for _ in range(30)]
    for thread in many: thread.start()
    done.set()
    print(len(many))
    """
    assert run_limited(ask, 60) == "30"
