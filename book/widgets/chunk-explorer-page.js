// The chunk explorer's page: fields in, numbers and drawing out. The arithmetic is in
// chunk-explorer.js, the drawing in chunk-explorer-drawing.js. Nothing is fetched or kept; the
// settings stand in the address after "#".
"use strict";

(() => {
  const { AXES, KINDS, check, grid, rows, need, seconds, withCommas, short, bytesText, timeText } = chunkExplorer;
  const $ = (id) => document.getElementById(id);
  const THREES = ["shape", "voxel", "chunk", "shard", "corner"];
  const FIELDS = { shape: "Shape, ", chunk: "Chunk, ", shard: "Shard, ", voxel: "Voxel size, " };
  const TRIED = 2 ** 21; // voxels of a chunk to try: 128 cubed

  // The samples are those of enormous.samples, their ratios those of blosc-zstd:3:shuffle at full
  // size, to two digits (samples/fidelity.json); a test holds both. An organ is taken to be a heart.
  const SCAN = { shape: [806, 629, 629], itemsize: 2, chunk: [128, 128, 128], shard: null };
  const PRESETS = {
    heart: { title: "heart (HiP-CT)", ...SCAN, ratio: 1.8, voxel: [200.64, 200.64, 200.64] },
    dense: { title: "dense neurons (EM labels)", ...SCAN, ratio: 32, voxel: [0.033, 0.032, 0.032] },
    sparse: { title: "sparse neurons (EM labels)", ...SCAN, ratio: 950, voxel: [0.033, 0.032, 0.032] },
    organ: {
      title: "an organ of 1 TB", shape: [8012, 7900, 7900], itemsize: 2, voxel: [20, 20, 20],
      chunk: [128, 128, 128], shard: [512, 512, 512], ratio: 1.8,
    },
  };
  const FIRST = {
    preset: "heart", access: "x", at: 300, size: 200, corner: [300, 200, 200], seed: 1,
    latency: 40, bandwidth: 100, flight: 16, ratio: PRESETS.heart.ratio,
  };

  // --- Fields ---------------------------------------------------------------------------

  for (const box of document.querySelectorAll("[data-three]"))
    for (const axis of AXES) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.id = `${box.dataset.three}-${axis}`;
      input.inputMode = box.dataset.three === "voxel" ? "decimal" : "numeric";
      input.setAttribute("aria-describedby", box.dataset.error);
      label.append(axis, input);
      box.append(label);
    }
  for (const [name, { title }] of Object.entries(PRESETS)) $("preset").add(new Option(title, name));
  const own = new Option("your own", "");
  own.disabled = true; // it is where you are, not somewhere to go
  $("preset").add(own);

  const ids = (name) => (THREES.includes(name) ? AXES.map((axis) => `${name}-${axis}`) : [name]);
  const put = (name, value) => ids(name).forEach((id, i) => { $(id).value = Array.isArray(value) ? value[i] : value; });
  const whole = (text) => (/^(\d{1,3}(,\d{3})+|\d+)$/.test(text.trim()) ? Number(text.replaceAll(",", "")) : NaN);
  const decimal = (text) => (/^\d+(\.\d*)?$|^\.\d+$/.test(text.trim()) ? Number(text) : NaN);
  const wholes = (name) => ids(name).map((id) => whole($(id).value));

  // What the fields say: for chunkExplorer, with what it does not need beside it.
  function read() {
    const kind = $("access").value;
    return {
      layout: {
        shape: wholes("shape"), chunks: wholes("chunk"), itemsize: Number($("itemsize").value),
        shards: $("sharded").checked ? wholes("shard") : null,
      },
      access: {
        kind, size: whole($("size").value), seed: whole($("seed").value),
        at: kind === "cube" ? wholes("corner") : whole($("at").value),
      },
      store: {
        latency: decimal($("latency").value) / 1000, bandwidth: decimal($("bandwidth").value) * 1e6,
        inFlight: whole($("flight").value), ratio: decimal($("ratio").value),
      },
      voxel: ids("voxel").map((id) => decimal($(id).value)),
    };
  }

  function problems(settings) {
    const wrong = check(settings);
    const { latency, bandwidth, inFlight, ratio } = settings.store;
    if (!(latency >= 0)) wrong.push({ field: "latency", message: "Latency: give milliseconds, 0 or more." });
    if (!(bandwidth > 0)) wrong.push({ field: "bandwidth", message: "Bandwidth: give MB/s, more than 0." });
    if (!(inFlight >= 1)) wrong.push({ field: "flight", message: "In flight: give a whole number, 1 or more." });
    if (!(ratio > 0)) wrong.push({ field: "ratio", message: "Ratio: give a number, more than 0." });
    const bad = settings.voxel.findIndex((size) => !(size > 0));
    if (bad >= 0) wrong.push({ field: "voxel", axis: bad, message: `${AXES[bad]}: give micrometres, more than 0.` });
    return wrong;
  }

  function mark(wrong, settings) {
    document.querySelectorAll(".error").forEach((line) => { line.textContent = ""; });
    document.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
    for (const { field, axis, message } of wrong) {
      const line = $(`error-${field}`);
      if (!line.textContent) line.textContent = message;
      const name = field === "at" && settings.access.kind === "cube" ? "corner" : field;
      const input = $(axis === undefined ? name : `${name}-${AXES[axis]}`);
      input.setAttribute("aria-invalid", "true");
      const fold = input.closest("details");
      if (fold) fold.open = true;
    }
  }

  // --- Answers --------------------------------------------------------------------------

  const shapeText = (shape) => shape.map(withCommas).join(" × ");
  // A count that fits into a tile: exact up to a million.
  // Short enough for a tile: 12,345 and 1.57 M.
  const tileText = (x) => (x < 999950 ? short(x) : `${short(x / 1e6)} M`);
  const plural = (n, noun) => `${withCommas(n)} ${noun}${n === 1n ? "" : "s"}`;

  function sizesText(micrometres) {
    const largest = Math.max(...micrometres);
    const [unit, size] = [["m", 1e6], ["mm", 1e3], ["µm", 1], ["nm", 1e-3]].find(([, one]) => largest >= one) || ["nm", 1e-3];
    return `${micrometres.map((length) => short(length / size)).join(" × ")} ${unit}`;
  }

  function accessText({ kind, at, size, seed }) {
    if (kind === "all") return "Everything";
    if (kind === "voxels") return `${plural(BigInt(size), "random voxel")} (seed ${seed})`;
    if (kind === "cube") return `A cube of ${withCommas(size)} voxels at ${at.join(", ")}`;
    return `The ${kind} slice at voxel ${withCommas(at)}`;
  }

  function sentence(settings) {
    const wanted = need(settings.layout, settings.access);
    const inShards = settings.layout.shards ? ` in ${plural(wanted.objects, "shard")}` : "";
    return `${accessText(settings.access)}: ${bytesText(wanted.nbytes)} wanted, ${plural(wanted.chunks, "chunk")}${inShards} fetched, ` +
      `${bytesText(wanted.chunkBytes)} unpacked. That is ${short(wanted.amplification)} times the bytes.`;
  }

  function fillTable(settings) {
    const table = document.querySelector("#numbers table");
    const head = document.createElement("caption");
    head.className = "offscreen";
    head.textContent = "What this access needs, the whole array, and what a writer holds: exactly, and in words";
    table.replaceChildren(head);
    let group, body;
    for (const [title, name, exact, words] of rows(settings)) {
      if (title !== group) {
        group = title;
        body = table.createTBody();
        const heading = document.createElement("th");
        Object.assign(heading, { scope: "rowgroup", colSpan: 3, textContent: title });
        body.insertRow().append(heading);
      }
      const row = body.insertRow();
      const label = document.createElement("th");
      Object.assign(label, { scope: "row", textContent: name });
      row.append(label);
      row.insertCell().textContent = exact;
      Object.assign(row.insertCell(), { className: "words", textContent: words });
    }
  }

  function fillTiles({ layout, access, store }) {
    const wanted = need(layout, access);
    const whole = grid(layout);
    const padding = (100 * Number(whole.paddedBytes - whole.nbytes)) / Number(whole.nbytes);
    const tiles = {
      amplification: `${tileText(wanted.amplification)} ×`,
      wanted: bytesText(wanted.nbytes),
      fetched: bytesText(wanted.chunkBytes),
      time: timeText(seconds(wanted, store)).replace("minutes", "min").replace("hours", "h"),
      requests: tileText(Number(wanted.requests)),
      objects: tileText(Number(whole.nObjects)),
      writer: bytesText(whole.shardBytes),
      padding: `${short(padding)} %`,
    };
    for (const [name, text] of Object.entries(tiles)) $(`tile-${name}`).textContent = text;
  }

  // What differs from the defaults of explore(): the rest would only be read, not needed.
  function pythonText({ layout, access, store }) {
    const tuple = (numbers) => `(${numbers.join(", ")})`;
    const number = (x) => String(Number(x.toPrecision(12)));
    const parts = [tuple(layout.shape), tuple(layout.chunks), `access="${access.kind}"`];
    if (AXES.includes(access.kind)) parts.push(`at=${access.at}`);
    if (access.kind === "cube") parts.push(`at=${tuple(access.at)}`, `size=${access.size}`);
    if (access.kind === "voxels") parts.push(`size=${access.size}`, `seed=${access.seed}`);
    if (layout.itemsize !== 2) parts.push(`itemsize=${layout.itemsize}`);
    if (layout.shards) parts.push(`shards=${tuple(layout.shards)}`);
    if (store.latency !== FIRST.latency / 1000) parts.push(`latency=${number(store.latency)}`);
    if (store.bandwidth !== FIRST.bandwidth * 1e6) parts.push(`bandwidth=${number(store.bandwidth / 1e6)}e6`);
    if (store.inFlight !== FIRST.flight) parts.push(`in_flight=${store.inFlight}`);
    if (store.ratio !== FIRST.ratio) parts.push(`ratio=${number(store.ratio)}`);
    return `from enormous.teach.explorer import explore\n\nexplore(\n    ${parts.join(",\n    ")},\n)`;
  }

  // --- The address ----------------------------------------------------------------------

  function toHash() {
    const pairs = {
      shape: wholes("shape"), bytes: $("itemsize").value, voxel: ids("voxel").map((id) => $(id).value.trim()),
      chunk: wholes("chunk"), access: $("access").value,
    };
    if ($("sharded").checked) pairs.shard = wholes("shard");
    const kind = pairs.access;
    if (AXES.includes(kind)) pairs.at = whole($("at").value);
    if (kind === "cube") pairs.corner = wholes("corner");
    if (kind === "cube" || kind === "voxels") pairs.size = whole($("size").value);
    if (kind === "voxels") pairs.seed = whole($("seed").value);
    for (const name of ["latency", "bandwidth", "flight", "ratio"]) pairs[name] = $(name).value.trim();
    return `#${Object.entries(pairs).map(([key, value]) => `${key}=${value}`).join("&")}`;
  }

  // Whatever the address holds goes into fields as text, so what is wrong is said beside them.
  function fromHash() {
    const given = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
    if (!given.has("shape")) return false;
    fill({ ...PRESETS[FIRST.preset], ...FIRST });
    for (const name of ["shape", "voxel", "chunk", "shard", "corner"])
      if (given.has(name)) put(name, AXES.map((_, axis) => given.get(name).split(",")[axis] ?? ""));
    for (const name of ["at", "size", "seed", "latency", "bandwidth", "flight", "ratio"])
      if (given.has(name)) put(name, given.get(name));
    if (KINDS.includes(given.get("access"))) put("access", given.get("access"));
    if (["1", "2", "4", "8"].includes(given.get("bytes"))) put("itemsize", given.get("bytes"));
    $("sharded").checked = given.has("shard");
    return true;
  }

  function fill(settings) {
    for (const name of ["shape", "voxel", "chunk", "corner", "itemsize", "access", "at", "size", "seed", "latency", "bandwidth", "flight", "ratio"])
      if (settings[name] !== undefined) put(name, settings[name]);
    $("sharded").checked = Boolean(settings.shard);
    put("shard", settings.shard || settings.chunk.map((n) => 4 * n));
  }

  // --- Together -------------------------------------------------------------------------

  let shown = "";
  let speaking;

  // The two kinds of neurons have one shape: only the ratio tells them apart.
  function presetNow({ layout, voxel, store }) {
    const same = (a, b) => String(a) === String(b);
    const known = ([, p]) => same(p.shape, layout.shape) && p.itemsize === layout.itemsize && same(p.voxel, voxel);
    const found = Object.entries(PRESETS).filter(known).map(([name]) => name);
    const alike = found.find((name) => PRESETS[name].ratio === store.ratio);
    return alike || (found.includes($("preset").value) ? $("preset").value : found[0] || "");
  }

  function arrange(settings) {
    const { layout, access, voxel } = settings;
    for (const box of document.querySelectorAll("[data-for]"))
      box.hidden = !box.dataset.for.split(" ").includes(access.kind);
    $("shards").hidden = !layout.shards;
    $("size-label").textContent = access.kind === "cube" ? "Edge (voxels)" : "How many";
    $("preset").value = presetNow(settings);
    const bits = layout.itemsize === 1 ? "1 byte" : `${layout.itemsize} bytes`;
    $("array-summary").textContent = `${layout.shape.every((n) => n >= 1) ? shapeText(layout.shape) : "?"}, ${bits} a voxel` +
      (layout.shape.concat(voxel).every((n) => n > 0) ? `, ${sizesText(layout.shape.map((n, i) => n * voxel[i]))}` : "");
    $("store-summary").textContent = `${$("latency").value} ms, ${$("bandwidth").value} MB/s, ratio ${$("ratio").value}`;
    const axis = AXES.indexOf(access.kind);
    if (axis >= 0 && layout.shape[axis] >= 1) {
      $("slide").max = layout.shape[axis] - 1;
      if (access.at >= 0) $("slide").value = access.at;
    }
  }

  function update() {
    const settings = read();
    arrange(settings);
    const wrong = problems(settings);
    mark(wrong, settings);
    document.body.classList.toggle("stale", wrong.length > 0);
    if (wrong.length) return say(`${FIELDS[wrong[0].field] || ""}${wrong[0].message} The numbers wait.`);
    const left = chunkDrawing.draw($("drawing"), settings);
    const text = sentence(settings);
    $("drawing").setAttribute("aria-label", `A block of chunks. ${text} The fetched chunks are hatched, what is wanted is dark.`);
    $("left-out").hidden = !left;
    if (left) {
      const [chunks, voxels] = [left.chunks, left.voxels].map(([drawn, all]) => `${withCommas(drawn)} of ${withCommas(all)}`);
      $("left-out").textContent = `Too many to draw all: here are ${chunks} chunks and ${voxels} voxels.`;
    }
    fillTiles(settings);
    fillTable(settings);
    $("python").textContent = pythonText(settings);
    const hash = toHash();
    $("link").href = hash;
    if (hash !== shown) {
      shown = hash;
      try { history.replaceState(null, "", hash); } catch { /* a page from a file may not */ }
    }
    return say(text);
  }

  // Said once the hand rests: while a slider moves, a screen reader would never finish.
  function say(text) {
    clearTimeout(speaking);
    speaking = setTimeout(() => { $("said").textContent = text; }, 150);
  }

  const middle = (n) => Math.floor((n - 1) / 2);

  // Put the access where it exists in this array: the middle.
  function centre() {
    const { layout: { shape }, access } = read();
    if (!shape.every((n) => n >= 1)) return;
    const axis = AXES.indexOf(access.kind);
    if (axis >= 0) put("at", middle(shape[axis]));
    if (access.kind === "cube") {
      const size = Math.min(access.size >= 1 ? access.size : 200, ...shape);
      put("size", size);
      put("corner", shape.map((n) => middle(n - size + 1)));
    }
  }

  function tryChunks(kind) {
    const { layout: { shape, chunks } } = read();
    if (!shape.every((n) => n >= 1)) return;
    const [nz, ny, nx] = shape;
    const fit = (edges) => edges.map((n, axis) => Math.min(Math.max(1, Math.round(n)), shape[axis]));
    const edge = Math.sqrt(TRIED / nz);
    const made = {
      cubes: [128, 128, 128], slabs: [TRIED / ny / nx, ny, nx], pillars: [nz, edge, edge], tiny: [8, 8, 8],
    }[kind];
    put("chunk", fit(made));
    if (String(fit(made)) !== String(chunks)) {
      $("sharded").checked = false; // the shard was a multiple of the old chunk
      put("shard", fit(made).map((n) => 4 * n));
    }
  }

  async function copyLink() {
    const address = new URL($("link").getAttribute("href"), location.href).href;
    try {
      await navigator.clipboard.writeText(address);
      $("copied").textContent = "copied";
    } catch { // not allowed here: show it, ready to be copied by hand
      $("by-hand").hidden = false;
      $("address").value = address;
      $("address").focus();
      $("address").select();
    }
    setTimeout(() => { $("copied").textContent = ""; }, 3000);
  }

  $("settings").addEventListener("submit", (event) => event.preventDefault());
  $("settings").addEventListener("input", (event) => {
    if (event.target.id === "slide") put("at", $("slide").value);
    if (event.target.id === "preset") {
      fill(PRESETS[$("preset").value]);
      centre();
    }
    if (event.target.id === "access") {
      if ($("access").value === "voxels" || $("access").value === "cube") put("size", $("access").value === "cube" ? FIRST.size : 100);
      centre();
    }
    update();
  });
  for (const button of document.querySelectorAll("[data-try]"))
    button.addEventListener("click", () => { tryChunks(button.dataset.try); update(); });
  $("copy-link").addEventListener("click", copyLink);
  addEventListener("hashchange", () => { if (location.hash !== shown && fromHash()) update(); });

  // --- In a page of the book: its theme, and as high as need be ----------------------------

  function follow() {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const attempt = (look) => { try { return look(); } catch { return null; } }; // another origin
    const page = parent === window ? null : attempt(() => parent.document.documentElement);
    const apply = () => {
      const asked = page ? page.dataset.theme : attempt(() => localStorage.getItem("theme"));
      const theme = ["light", "dark"].includes(asked) ? asked : dark.matches ? "dark" : "light";
      document.documentElement.dataset.theme = theme;
    };
    apply();
    dark.addEventListener("change", apply);
    // who follows a link to settings lands here without the chapter around it
    $("home").hidden = parent !== window || location.protocol === "file:";
    if (!page) return;
    const main = document.querySelector("main");
    new MutationObserver(apply).observe(page, { attributes: true, attributeFilter: ["data-theme"] });
    new ResizeObserver(() => {
      const borders = frameElement.offsetHeight - frameElement.clientHeight;
      frameElement.style.height = `${main.offsetHeight + borders}px`;
    }).observe(main);
  }

  follow();
  if (!fromHash()) fill({ ...PRESETS[FIRST.preset], ...FIRST });
  update();
})();
