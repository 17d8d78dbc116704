"""The chunk explorer: its arithmetic is grid.py's, and everyone can use it.

The widget is served from its source, as the book copies it whole.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enormous.errors import UsageError
from enormous.grid import Grid, Need, Shape
from enormous.samples.catalogue import NAMES, describe
from enormous.samples.fidelity import recorded
from enormous.teach import explorer
from enormous.view.server import serve

from .chromium import MODES, Mode, context, settle, watch
from .visits import INSPECT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDGETS = Path(__file__).resolve().parents[2] / "book" / "widgets"
PHONE = next(mode for mode in MODES if mode.name == "phone")
ORGAN = "#shape=8012,7900,7900&chunk=128,128,128&shard=512,512,512"
SETTINGS = [
    "",
    "#shape=806,629,629&bytes=2&chunk=32,64,100&access=z&at=805",
    f"{ORGAN}&access=cube&size=200&corner=311,7,7700&latency=250&bandwidth=12.5&flight=3&ratio=1",
    f"{ORGAN}&access=voxels&size=321&seed=4294967295&bytes=8",
    f"{ORGAN}&access=all&bytes=1",
    # a petabyte and a little, beyond what floating point counts exactly
    "#shape=100003,100003,50021&bytes=2&chunk=97,89,83&shard=970,890,830&access=y&at=50001",
    "#shape=5,4,3&chunk=7,7,7&access=cube&size=1&corner=4,3,2&latency=0",
]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with serve(WIDGETS) as address:
        yield f"{address}/chunk-explorer.html"


@pytest.fixture(params=[MODES[0]], ids=lambda mode: mode.name)
def tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A window whose page must neither fail, nor complain, nor ask another host."""
    with context(browser, request.param) as window:
        page = window.new_page()
        record = watch(page)
        yield page
        settle(page, record)
        assert record.console + record.failed + record.foreign == []


def show(tab: Page, base: str, settings: str = "") -> None:
    tab.goto("about:blank")  # else only the part after "#" would change
    tab.goto(base + settings)
    tab.wait_for_function("document.querySelector('#said').textContent !== ''")


def table(tab: Page) -> list[list[str]]:
    """Rows of the page's table, without the headings of the groups."""
    return tab.eval_on_selector_all(
        "#numbers tr:has(td)", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    )


def tile(tab: Page, name: str) -> str:
    return tab.locator(f"#tile-{name}").inner_text()


# --- The arithmetic ----------------------------------------------------------------------


def random_layout(rng: random.Random) -> Grid:
    top = rng.choice([8, 100, 3000, 10**5, 10**9])
    shape = tuple(rng.randint(1, top) for _ in range(3))
    chunks = tuple(rng.randint(1, rng.choice([3, 130, min(2 * n, 10**8)])) for n in shape)
    shards = tuple(c * rng.randint(1, 9) for c in chunks) if rng.random() < 0.5 else None
    return Grid(shape, chunks, rng.choice([1, 2, 4, 8]), shards)


def random_access(rng: random.Random, shape: Shape) -> dict[str, Any]:
    kind = rng.choice(explorer.ACCESSES)
    if kind in ("z", "y", "x"):
        return {"kind": kind, "at": rng.randrange(shape["zyx".index(kind)])}
    if kind == "cube":
        size = rng.randint(1, min(shape))
        return {"kind": kind, "size": size, "at": [rng.randint(0, n - size) for n in shape]}
    if kind == "voxels":
        return {"kind": kind, "size": rng.randint(1, 300), "seed": rng.randrange(2**32)}
    return {"kind": kind}


def wanted(grid: Grid, access: dict[str, Any]) -> Need:
    if access["kind"] == "voxels":
        return grid.need_points(explorer.points(grid.shape, access["size"], access["seed"]))
    selection = explorer.selection_of(
        grid.shape, access["kind"], access.get("at"), access.get("size")
    )
    return grid.need(selection)


def golden(cases: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    rng = random.Random(20261120)
    for _ in range(cases):
        grid = random_layout(rng)
        access = random_access(rng, grid.shape)
        store = {
            "latency": rng.uniform(0, 0.3),
            "bandwidth": rng.uniform(1e5, 1e10),
            "inFlight": rng.randint(1, 64),
            "ratio": rng.uniform(0.8, 60),
        }
        need = wanted(grid, access)
        exact = {
            "voxels": need.voxels,
            "nbytes": need.nbytes,
            "chunks": need.chunks,
            "chunkBytes": need.chunk_bytes,
            "objects": need.objects,
            "requests": need.requests,
            "indexBytes": need.index_bytes,
            "whole.nbytes": grid.nbytes,
            "whole.paddedBytes": grid.padded_bytes,
            "whole.nChunks": grid.n_chunks,
            "whole.nObjects": grid.n_objects,
            "whole.chunkBytes": grid.chunk_bytes,
            "whole.chunksPerShard": grid.chunks_per_shard,
            "whole.indexBytes": grid.index_bytes,
            "whole.shardBytes": grid.chunks_per_shard * grid.chunk_bytes,
        }
        layout = {
            "shape": grid.shape,
            "chunks": grid.chunks,
            "itemsize": grid.itemsize,
            "shards": grid.shards,
        }
        time = explorer.seconds(
            need, store["latency"], store["bandwidth"], store["inFlight"], store["ratio"]
        )
        yield (
            {"layout": layout, "access": access, "store": store},
            {
                "exact": {name: str(n) for name, n in exact.items()},
                "near": [need.amplification, time],
                "wrong": 0,
            },
        )


COMPUTE = """cases => cases.map(({ layout, access, store }) => {
  const { need, grid, seconds, check } = window.chunkExplorer;
  const { amplification, ...counts } = need(layout, access);
  const whole = Object.entries(grid(layout)).map(([name, n]) => [`whole.${name}`, n]);
  const exact = Object.fromEntries(
    [...Object.entries(counts), ...whole].map(([name, n]) => [name, String(n)]));
  return { exact, near: [amplification, seconds(need(layout, access), store)],
           wrong: check({ layout, access }).length };
})"""


def test_arithmetic_is_that_of_the_grid(tab: Page, base: str) -> None:
    show(tab, base)
    cases = list(golden(800))
    kinds = {case["access"]["kind"] for case, _ in cases}
    assert kinds == set(explorer.ACCESSES)
    assert max(int(answer["exact"]["whole.nbytes"]) for _, answer in cases) > 2**80
    computed = tab.evaluate(COMPUTE, [case for case, _ in cases])
    for (case, expected), got in zip(cases, computed, strict=True):
        assert got["exact"] == expected["exact"], json.dumps(case)
        assert got["near"] == pytest.approx(expected["near"], rel=1e-12), json.dumps(case)
        assert got["wrong"] == 0, json.dumps(case)


def test_refuses_the_shards_that_the_grid_refuses(tab: Page, base: str) -> None:
    rng = random.Random(3)
    layouts, refused = [], []
    for _ in range(200):
        shape, chunks, shards = ([rng.randint(1, 12) for _ in range(3)] for _ in range(3))
        layouts.append({"shape": shape, "chunks": chunks, "itemsize": 1, "shards": shards})
        try:
            Grid(tuple(shape), tuple(chunks), 1, tuple(shards))
            refused.append(False)
        except UsageError:
            refused.append(True)
    assert 0 < sum(refused) < 200
    show(tab, base)
    code = "all => all.map(layout => chunkExplorer.check({ layout, access: {kind: 'all'} }).length)"
    assert [n > 0 for n in tab.evaluate(code, layouts)] == refused


@pytest.mark.parametrize("settings", SETTINGS)
def test_page_and_python_show_the_same_table(tab: Page, base: str, settings: str) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    show(tab, base, settings)
    code = tab.locator("#python").text_content() or ""
    imported, _, call = code.partition("\n\n")
    assert imported == "from enormous.teach.explorer import explore"
    same = eval(call, {"explore": explorer.explore})
    pyplot.close("all")
    assert table(tab) == same.rows
    assert len(same.rows) == 15


def test_samples_are_those_of_the_toolkit(tab: Page, base: str) -> None:
    show(tab, base)
    times = set()
    for name in NAMES:
        tab.select_option("#preset", name)
        sample = describe(name)
        measured = recorded(name)["blosc-zstd:3:shuffle"]
        assert float(tab.input_value("#ratio")) == float(f"{measured:.2g}"), name
        times.add(tile(tab, "time"))
        for field, expected in (
            ("shape", sample.full_shape),
            ("voxel", sample.full_voxel_size),
            ("chunk", (128, 128, 128)),
        ):
            shown = [float(tab.input_value(f"#{field}-{axis}")) for axis in "zyx"]
            assert shown == list(expected), (name, field)
        assert tab.input_value("#itemsize") == sample.dtype.removeprefix("uint16") + "2"
        assert tab.input_value("#preset") == name
        link = tab.url.removeprefix(base)
        show(tab, base, link)
        assert tab.input_value("#preset") == name  # the two kinds of neurons, too
    assert len(times) == len(NAMES)
    tab.select_option("#preset", "organ")
    assert {row[0]: row[2] for row in table(tab)}["bytes of the array"] == "1.00 TB"


# --- Its use -----------------------------------------------------------------------------


def test_whole_explorer_works_by_keyboard(tab: Page, base: str) -> None:
    show(tab, base)
    tab.keyboard.press("Tab")  # the link to the chapter
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "preset"
    for _ in range(3):
        tab.keyboard.press("ArrowDown")
    assert tab.input_value("#preset") == "organ"
    assert tab.input_value("#at") == "3949"
    assert tile(tab, "objects") == "4,096"
    reached = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        here = tab.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.id || e.dataset.try || e.tagName, s.outlineStyle !== 'none',"
            " e.checkVisibility()]; }"
        )
        if here[0] in ("BODY", "preset", "HTML"):
            break
        assert here[1:] == [True, True], f"{here[0]} does not show that it has the keyboard"
        reached.append(here[0])
        if here[0] == "SUMMARY":
            tab.keyboard.press("Enter")  # open it: what is inside comes next
    boxes = [f"{name}-{axis}" for name in ("chunk", "shard", "shape", "voxel") for axis in "zyx"]
    fields = {"access", "slide", "at", "sharded", "itemsize", "latency", "bandwidth", "flight"}
    assert {*boxes, *fields, "ratio", "slabs", "link", "copy-link"} <= set(reached)
    tab.focus("#slide")
    tab.keyboard.press("ArrowRight")
    assert tab.input_value("#at") == "3950"
    tab.focus("[data-try=slabs]")
    tab.keyboard.press("Enter")
    assert tab.input_value("#chunk-x") == "7900"
    assert not tab.is_checked("#sharded")


def test_every_field_has_a_name_and_every_drawing_says_its_counts(tab: Page, base: str) -> None:
    show(tab, base)
    nameless = tab.eval_on_selector_all(
        "input, select", "fields => fields.filter(f => !f.labels.length).map(f => f.id)"
    )
    assert nameless == []
    for kind in explorer.ACCESSES:
        tab.select_option("#access", kind)
        tab.wait_for_timeout(200)  # said once the hand rests
        counts = f"{table(tab)[1][1]} chunk"
        assert counts in tab.locator("#said").inner_text()
        assert counts in (tab.get_attribute("#drawing", "aria-label") or "")
        assert tab.locator("#drawing .fetched").count() > 0
        assert tab.locator("#drawing .asked").count() > 0
    assert tab.get_attribute("#said", "aria-live") == "polite"


def test_drawing_hatches_as_many_chunks_as_are_fetched(tab: Page, base: str) -> None:
    show(tab, base, "#shape=64,64,64&chunk=16,16,16&access=voxels&size=30&seed=5")
    faces = 3 * int(table(tab)[1][1])
    assert tab.locator("#drawing polygon.fetched").count() == faces
    assert (
        tab.locator("#drawing circle.asked").count()
        + (tab.locator("#drawing polygon.asked").count() // 3)
        == 30
    )
    show(tab, base, "#shape=64,64,64&chunk=8,8,8&access=voxels&size=9000&seed=5")
    assert "400 of 9,000 voxels" in tab.locator("#left-out").inner_text()


@pytest.mark.parametrize("settings", SETTINGS)
def test_link_carries_all_settings(tab: Page, base: str, settings: str) -> None:
    show(tab, base, settings)
    tab.click("#copy-link")
    tab.wait_for_function("document.querySelector('#copied').textContent === 'copied'")
    link = tab.evaluate("navigator.clipboard.readText()")
    assert link.startswith(base + "#")
    assert link == tab.url
    before = (table(tab), tab.locator("#python").text_content())
    show(tab, base, link.removeprefix(base))
    assert (table(tab), tab.locator("#python").text_content()) == before
    assert tab.url == link


def test_link_given_to_the_open_page_is_followed(tab: Page, base: str) -> None:
    show(tab, base)
    tab.evaluate("location.hash = '#shape=64,64,64&chunk=32,32,32&access=z&at=3'")
    tab.wait_for_function("document.querySelector('#tile-requests').textContent === '4'")


def test_link_can_be_copied_by_hand_where_the_clipboard_is_closed(tab: Page, base: str) -> None:
    show(tab, base)
    tab.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('closed')); }"
    )
    tab.click("#copy-link")
    tab.wait_for_selector("#address:focus")
    assert tab.input_value("#address") == tab.url
    marked = "e => e.value.slice(e.selectionStart, e.selectionEnd)"
    assert tab.locator("#address").evaluate(marked) == tab.url


WRONG = [
    ("chunk-z", "0", "error-chunk", "z: give a whole number, 1 or more."),
    ("chunk-x", "ten", "error-chunk", "x: give a whole number, 1 or more."),
    ("shape-y", "2000000000", "error-shape", "y: give at most 1,000,000,000."),
    ("shard-x", "500", "error-shard", "x: not a multiple of the chunk; try 512."),
    ("at", "7900", "error-at", "Outside: x goes from 0 to 7,899."),
    ("at", "-1", "error-at", "Outside: x goes from 0 to 7,899."),
    ("voxel-y", "0", "error-voxel", "y: give micrometres, more than 0."),
    ("latency", "-3", "error-latency", "Latency: give milliseconds, 0 or more."),
    ("bandwidth", "0", "error-bandwidth", "Bandwidth: give MB/s, more than 0."),
    ("flight", "1.5", "error-flight", "In flight: give a whole number, 1 or more."),
    ("ratio", "", "error-ratio", "Ratio: give a number, more than 0."),
    ("size", "7901", "error-size", "Give an edge from 1 to 7,900."),
    ("corner-z", "7813", "error-at", "z: outside; this cube starts at 0 to 7,812."),
    ("seed", "4294967296", "error-seed", "Seed: give 0 to 4,294,967,295."),
    ("size", "10001", "error-size", "Give a whole number from 1 to 10,000."),
]
ACCESS_OF = {"size": "cube", "corner-z": "cube", "seed": "voxels"}


@pytest.mark.parametrize("tab", [MODES[0], PHONE], ids=lambda m: m.name, indirect=True)
def test_what_is_wrong_is_said_in_one_line_beside_the_field(tab: Page, base: str) -> None:
    for field, text, place, message in WRONG:
        access = "voxels" if text == "10001" else ACCESS_OF.get(field, "x")
        show(tab, base, f"{ORGAN}&access={access}&size=200&at=5")
        for fold in tab.locator("details").all():
            fold.evaluate("e => { e.open = true; }")
        tab.fill(f"#{field}", text)
        assert tab.locator(f"#{place}").inner_text() == message
        lines = tab.locator(f"#{place}").evaluate(
            "e => e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight)"
        )
        assert lines < 1.5, f"{message!r} takes {lines:.0f} lines"
        assert tab.get_attribute(f"#{field}", "aria-invalid") == "true"
        assert tab.get_attribute(f"#{field}", "aria-describedby") == place
        tab.wait_for_function("document.querySelector('#said').textContent.includes('wait')")
        assert message in tab.locator("#said").inner_text()
        assert not tab.locator("#share").is_visible()  # no link to what cannot be
        tab.fill(f"#{field}", {"ratio": "2", "shard-x": "1024"}.get(field, "128"))
        assert tab.locator(".error:visible").count() == 0
        assert tab.locator("[aria-invalid]").count() == 0
        assert tab.locator("#share").is_visible()


def test_link_with_nonsense_is_explained_not_run(tab: Page, base: str) -> None:
    nonsense = "<img src=x onerror=alert(1)>"
    show(tab, base, f"#shape={nonsense}&chunk=1&access={nonsense}&latency={nonsense}&bytes=3")
    assert tab.locator(".error:visible").count() >= 3
    assert tab.locator("img").count() == 0
    assert tab.locator("details:has(#shape-z)").evaluate("e => e.open")


@pytest.mark.parametrize("tab", MODES, ids=lambda mode: mode.name, indirect=True)
def test_it_can_be_read_in_every_mode(tab: Page, base: str, request: Any) -> None:
    mode: Mode = request.node.callspec.params["tab"]
    for kind in explorer.ACCESSES:
        show(tab, base, f"{ORGAN}&access={kind}&size=90&at=7&bytes=8")
        found = tab.evaluate(INSPECT)  # opens what is folded
        assert tab.locator("#home a").is_visible()
        assert found.pop("theme") == mode.theme
        assert {name: lines for name, lines in found.items() if lines} == {}
        tab.set_viewport_size({"width": min(mode.width, 656), "height": 900})  # as in a chapter
        cut_off = tab.eval_on_selector_all(
            "dd, dt, th, td, label, button, summary, p",
            "all => all.filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1"
            " && e.clientWidth > 0 && getComputedStyle(e).display !== 'inline')"
            ".map(e => e.textContent)",
        )
        assert cut_off == []
        assert tab.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_in_a_page_it_takes_the_theme_of_the_page_and_the_height_it_needs(
    tab: Page, tmp_path: Path
) -> None:
    shutil.copytree(WIDGETS, tmp_path / "book" / "widgets")
    chapter = tmp_path / "book" / "1-chunks" / "page.html"
    chapter.parent.mkdir()
    chapter.write_text(
        '<!doctype html><html lang="en" data-theme="dark"><title>page</title>'
        '<link rel="icon" href="data:,"><iframe src="../widgets/chunk-explorer.html" '
        'title="x" style="width: 100%; height: 10rem; border: 1px solid"></iframe>',
        encoding="utf-8",
    )
    with serve(tmp_path) as site:
        tab.goto(f"{site}/book/1-chunks/page.html")
        frame = tab.frame_locator("iframe")
        frame.locator("#tile-requests:has-text('35')").wait_for()
        assert not frame.locator("#home").is_visible()
        theme = "() => frames[0].document.documentElement.dataset.theme"
        assert tab.evaluate(theme) == "dark"
        tab.evaluate("document.documentElement.dataset.theme = 'light'")
        tab.wait_for_function(f"({theme})() === 'light'")
        fits = (
            "() => { const e = frames[0].document.documentElement;"
            " return e.scrollHeight <= e.clientHeight && e.clientHeight < 2000; }"
        )
        tab.wait_for_function(fits)
        frame.locator("#numbers summary").click()
        tab.wait_for_function(fits)
        assert re.search(r"page\.html$", tab.url)
