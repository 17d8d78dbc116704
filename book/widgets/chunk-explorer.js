// The chunk explorer's arithmetic: what an access needs from storage. No page, no drawing.
//
// It must equal enormous.grid to the last byte: tests/browser/test_explorer.py runs both on
// random cases. Counts are BigInt, so a petabyte is exact; sizes along one axis are numbers of
// at most MAX_EDGE. Axes are z, y, x.
//
//   layout  { shape: [z, y, x], chunks: [z, y, x], itemsize, shards: [z, y, x] or null }
//   access  { kind: "z" | "y" | "x", at: n }            a slice, one voxel thick
//           { kind: "cube", size, at: [z, y, x] }       from its first voxel on
//           { kind: "voxels", size, seed }              that many, pseudo-random
//           { kind: "all" }
"use strict";

const chunkExplorer = (() => {
  const AXES = ["z", "y", "x"];
  const KINDS = ["z", "y", "x", "cube", "voxels", "all"];
  const MAX_EDGE = 1e9;
  const MAX_VOXELS = 10000; // random voxels: enough to see, few enough to answer at once
  const INDEX_ENTRY_BYTES = 16;
  const INDEX_CHECKSUM_BYTES = 4;

  const product = (numbers) => numbers.reduce((all, n) => all * BigInt(n), 1n);
  const counts = (shape, tile) => shape.map((n, axis) => Math.ceil(n / tile[axis]));

  // --- The array as it is stored --------------------------------------------------------

  function grid({ shape, chunks, itemsize, shards }) {
    const chunkBytes = product(chunks) * BigInt(itemsize);
    const nChunks = product(counts(shape, chunks));
    const nbytes = product(shape) * BigInt(itemsize);
    const perShard = shards ? product(shards) / product(chunks) : 1n;
    return {
      nbytes,
      chunkBytes,
      nChunks,
      nObjects: product(counts(shape, shards || chunks)),
      paddedBytes: nChunks * chunkBytes,
      chunksPerShard: perShard,
      shardBytes: perShard * chunkBytes,
      indexBytes: shards ? BigInt(INDEX_ENTRY_BYTES) * perShard + BigInt(INDEX_CHECKSUM_BYTES) : 0n,
    };
  }

  // --- Where the voxels are -------------------------------------------------------------

  // mulberry32: 32-bit integers from a 32-bit seed, the same in any language.
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (t ^ (t >>> 14)) >>> 0;
    };
  }

  // Three draws a voxel, z then y then x; a draw r becomes floor(r * n / 2^32).
  function points(shape, size, seed) {
    const draw = generator(seed);
    const below = (n) => Number((BigInt(draw()) * BigInt(n)) >> 32n);
    return Array.from({ length: size }, () => shape.map(below));
  }

  // First and last voxel along each axis; null where the access is no box.
  function boxOf(shape, access) {
    const whole = shape.map((n) => [0, n - 1]);
    if (access.kind === "all") return whole;
    if (access.kind === "cube") return access.at.map((at) => [at, at + access.size - 1]);
    const axis = AXES.indexOf(access.kind);
    if (axis < 0) return null;
    whole[axis] = [access.at, access.at];
    return whole;
  }

  const touched = (box, tile) =>
    box.map(([first, last], axis) => [Math.floor(first / tile[axis]), Math.floor(last / tile[axis])]);
  const lengths = (box) => box.map(([first, last]) => last - first + 1);
  const tilesOf = (voxels, tile) =>
    new Set(voxels.map((voxel) => voxel.map((i, axis) => Math.floor(i / tile[axis])).join()));

  // --- What an access needs -------------------------------------------------------------

  function need(layout, access) {
    const { shape, chunks, itemsize, shards } = layout;
    const whole = grid(layout);
    const box = boxOf(shape, access);
    let voxels, nChunks, nObjects;
    if (box) {
      voxels = product(lengths(box));
      nChunks = product(lengths(touched(box, chunks)));
      nObjects = product(lengths(touched(box, shards || chunks)));
    } else {
      const drawn = points(shape, access.size, access.seed);
      voxels = BigInt(drawn.length);
      nChunks = BigInt(tilesOf(drawn, chunks).size);
      nObjects = BigInt(tilesOf(drawn, shards || chunks).size);
    }
    const nbytes = voxels * BigInt(itemsize);
    const chunkBytes = nChunks * whole.chunkBytes;
    return {
      voxels,
      nbytes,
      chunks: nChunks,
      chunkBytes,
      objects: nObjects,
      requests: nChunks + (shards ? nObjects : 0n), // one more for each shard's index
      indexBytes: nObjects * whole.indexBytes,
      amplification: Number(chunkBytes) / Number(nbytes),
    };
  }

  // Waiting plus sending. Latency in seconds, bandwidth in bytes a second; `ratio` is how well
  // chunks compress. Indexes are sent as they are.
  function seconds(wanted, { latency, bandwidth, inFlight, ratio }) {
    const bytes = Number(wanted.chunkBytes) / ratio + Number(wanted.indexBytes);
    const atOnce = BigInt(inFlight);
    const rounds = (wanted.requests + atOnce - 1n) / atOnce;
    return Number(rounds) * latency + bytes / bandwidth;
  }

  // --- What cannot be -------------------------------------------------------------------

  // A list of { field, axis, message }; `axis` is there where one of three fields is meant.
  function check({ layout, access }) {
    const wrong = [];
    const whole = (n) => Number.isInteger(n) && n >= 1 && n <= MAX_EDGE;
    const say = (field, message, axis) => wrong.push({ field, message, axis });
    const { shape, chunks, shards } = layout;
    for (const [field, edges] of [["shape", shape], ["chunk", chunks], ["shard", shards || []]])
      edges.forEach((n, axis) => {
        if (n > MAX_EDGE) say(field, `${AXES[axis]}: give at most ${withCommas(MAX_EDGE)}.`, axis);
        else if (!whole(n)) say(field, `${AXES[axis]}: give a whole number, 1 or more.`, axis);
      });
    if (wrong.length) return wrong;
    const apart = shards ? shards.findIndex((n, axis) => n % chunks[axis] !== 0) : -1;
    if (apart >= 0) {
      const next = Math.ceil(shards[apart] / chunks[apart]) * chunks[apart];
      say("shard", `${AXES[apart]}: not a multiple of the chunk; try ${next}.`, apart);
    }
    const { kind, size, at } = access;
    const inside = (n, end) => Number.isInteger(n) && n >= 0 && n <= end;
    if (kind === "voxels") {
      if (!whole(size) || size > MAX_VOXELS)
        say("size", `Give a whole number from 1 to ${withCommas(MAX_VOXELS)}.`);
      if (!inside(access.seed, 2 ** 32 - 1)) say("seed", "Seed: give 0 to 4,294,967,295.");
    } else if (kind === "cube") {
      const most = Math.min(...shape);
      if (!whole(size) || size > most)
        say("size", `Give an edge from 1 to ${withCommas(most)}.`);
      else
        at.forEach((n, axis) => {
          const end = shape[axis] - size;
          if (!inside(n, end)) say("at", `${AXES[axis]}: outside; this cube starts at 0 to ${withCommas(end)}.`, axis);
        });
    } else if (kind !== "all") {
      const axis = AXES.indexOf(kind);
      const end = shape[axis] - 1;
      if (!inside(at, end)) say("at", `Outside: ${kind} goes from 0 to ${withCommas(end)}.`);
    }
    return wrong;
  }

  // --- Numbers for people (as enormous.teach.tables writes them) ------------------------

  const withCommas = (n) => n.toString().replace(/\B(?=(\d{3})+$)/g, ",");

  // Three digits, as Python's ".3g".
  function three(x) {
    if (x === 0 || x >= 1e-4) return String(Number(x.toPrecision(3)));
    return x.toExponential(2).replace(/\.?0*e-(\d)$/, "e-0$1").replace(/\.?0+e/, "e");
  }

  function short(x) {
    return x >= 999.5 ? withCommas(BigInt(Math.round(x))) : three(x);
  }

  function bytesText(count) {
    let size = Number(count);
    if (size < 1000) return `${size} ${size === 1 ? "byte" : "bytes"}`;
    const units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    for (const unit of units) {
      size /= 1000;
      if (size < 999.5 || unit === "EB")
        return `${size.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2)} ${unit}`;
    }
  }

  function timeText(time) {
    for (const [unit, size] of [["years", 31557600], ["days", 86400], ["hours", 3600], ["minutes", 60]])
      if (time >= 1.5 * size) return `${short(time / size)} ${unit}`;
    return time >= 1 ? `${three(time)} s` : `${three(time * 1000)} ms`;
  }

  // The table below the drawing: [group, label, exact, in words], as enormous.teach.explorer has it.
  function rows({ layout, access, store }) {
    const whole = grid(layout);
    const wanted = need(layout, access);
    const time = seconds(wanted, store);
    const padding = whole.paddedBytes - whole.nbytes;
    const count = (n) => [withCommas(n), ""];
    const bytes = (n) => [withCommas(n), bytesText(n)];
    const share = (100 * Number(padding)) / Number(whole.nbytes);
    const read = "This access";
    const array = "The whole array";
    const writer = "What a writer holds";
    return [
      [read, "requests", ...count(wanted.requests)],
      [read, "chunks fetched", ...count(wanted.chunks)],
      [read, "objects touched", ...count(wanted.objects)],
      [read, "bytes wanted", ...bytes(wanted.nbytes)],
      [read, "bytes fetched, unpacked", ...bytes(wanted.chunkBytes)],
      [read, "bytes of shard indexes", ...bytes(wanted.indexBytes)],
      [read, "read amplification", short(wanted.amplification), ""],
      [read, "predicted seconds", short(time), timeText(time)],
      [array, "bytes of the array", ...bytes(whole.nbytes)],
      [array, "bytes of padding", withCommas(padding), `${short(share)} %`],
      [array, "chunks in the array", ...count(whole.nChunks)],
      [array, "objects in the array", ...count(whole.nObjects)],
      [array, "bytes of all shard indexes", ...bytes(whole.nObjects * whole.indexBytes)],
      [writer, "bytes of one chunk", ...bytes(whole.chunkBytes)],
      [writer, "bytes of one shard", ...(layout.shards ? bytes(whole.shardBytes) : ["0", "no shards"])],
    ];
  }

  return {
    AXES, KINDS, MAX_EDGE, MAX_VOXELS, grid, need, seconds, points, boxOf, touched, check, rows,
    withCommas, short, bytesText, timeText,
  };
})();

if (typeof window !== "undefined") window.chunkExplorer = chunkExplorer;
