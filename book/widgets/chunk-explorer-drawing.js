// The chunk explorer's drawing, as enormous.teach.figures draws it: x to the right, y down,
// z going back. Fetched chunks are hatched, what was asked for is dark, the rest is outline.
"use strict";

const chunkDrawing = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 400; // of the viewBox
  const HEIGHT = 320;
  const MARGIN = 22;
  const DEPTH = [0.42, 0.32]; // how far a step along z moves right and up
  const CLOSEST = 2.5; // chunk borders closer than this are a grey smear, not a drawing
  const MOST_BOXES = 400; // separate chunks, and voxels, drawn at most; the text says so
  // Which end of each axis carries the faces that are drawn: 0 low, 1 high.
  const FRONT = [0, 0, 1];
  const BACK = [1, 1, 0];

  function element(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  }

  // A function from a voxel's place to a point of the picture, the array in its middle.
  function projection([nz, ny, nx]) {
    const wide = nx + DEPTH[0] * nz;
    const high = ny + DEPTH[1] * nz;
    const scale = Math.min((WIDTH - 2 * MARGIN) / wide, (HEIGHT - 2 * MARGIN) / high);
    const left = (WIDTH - wide * scale) / 2;
    const top = (HEIGHT - high * scale) / 2 + DEPTH[1] * nz * scale;
    return ([z, y, x]) => [left + scale * (x + DEPTH[0] * z), top + scale * (y - DEPTH[1] * z)];
  }

  const path = (corners) => corners.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");

  // Three faces of a box [[low, high], ...], with the chunk borders on them.
  function drawBox(parent, project, box, side, kind, chunks) {
    for (let normal = 0; normal < 3; normal += 1) {
      const [a, b] = [0, 1, 2].filter((axis) => axis !== normal);
      const corner = (i, j) => {
        const place = [];
        place[normal] = box[normal][side[normal]];
        place[a] = box[a][i];
        place[b] = box[b][j];
        return project(place);
      };
      const corners = [corner(0, 0), corner(0, 1), corner(1, 1), corner(1, 0)];
      element("polygon", { class: kind, points: path(corners) }, parent);
    }
    if (chunks) drawBorders(parent, project, box, side, kind, chunks);
  }

  function drawBorders(parent, project, box, side, kind, chunks) {
    const lines = [];
    for (let cut = 0; cut < 3; cut += 1) {
      const [low, high] = box[cut];
      const step = chunks[cut];
      const ends = [low, low + step].map((at) => project([0, 1, 2].map((axis) => (axis === cut ? at : 0))));
      if (Math.hypot(ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]) < CLOSEST) continue;
      for (let at = (Math.floor(low / step) + 1) * step; at < high; at += step)
        for (const normal of [0, 1, 2].filter((axis) => axis !== cut)) {
          const along = 3 - cut - normal;
          const end = (i) => {
            const place = [];
            place[cut] = at;
            place[normal] = box[normal][side[normal]];
            place[along] = box[along][i];
            return project(place);
          };
          lines.push(`M${path([end(0)])}L${path([end(1)])}`);
        }
    }
    if (lines.length) element("path", { class: `${kind} border`, d: lines.join("") }, parent);
  }

  const voxelsOf = (run, tile, shape) =>
    run.map(([first, last], axis) => [
      Math.min(first * tile[axis], shape[axis]),
      Math.min((last + 1) * tile[axis], shape[axis]),
    ]);

  const indexOf = (point, chunks) => point.map((i, axis) => Math.floor(i / chunks[axis]));

  // Chunks of single voxels, back to front, so that nearer ones cover farther ones.
  function chunksOf(points, chunks) {
    const found = new Map();
    for (const point of points) {
      const index = indexOf(point, chunks);
      found.set(String(index), index);
    }
    return [...found.values()].sort((a, b) => b[0] - a[0] || b[1] - a[1] || a[2] - b[2]);
  }

  // What was asked for; too small to see, it becomes a point.
  function drawAsked(parent, project, box) {
    const [left, top] = project(box.map(([low]) => low));
    const [right, bottom] = project([box[0][0], box[1][1], box[2][1]]);
    const back = project([box[0][1], box[1][0], box[2][0]]);
    const size = Math.max(right - left, bottom - top, back[0] - left);
    if (size >= 5) return drawBox(parent, project, box, FRONT, "asked");
    const [x, y] = project(box.map(([low, high]) => (low + high) / 2));
    return element("circle", { class: "asked", cx: x.toFixed(1), cy: y.toFixed(1), r: 3 }, parent);
  }

  function label(parent, project, shape) {
    const [nz, ny, nx] = shape;
    const name = (text, [x, y], anchor) => {
      element("text", { x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor }, parent).textContent = text;
    };
    const below = project([0, ny, nx / 2]);
    name("x", [below[0], below[1] + 15], "middle");
    const beside = project([0, ny / 2, 0]);
    name("y", [beside[0] - 7, beside[1] + 4], "end");
    const above = project([nz / 2, 0, 0]);
    name("z", [above[0] - 6, above[1] - 4], "end");
  }

  // Draw into `svg`; returns how many were drawn of how many where not all were, else null.
  function draw(svg, { layout, access }) {
    const { shape, chunks } = layout;
    const project = projection(shape);
    const whole = shape.map((n) => [0, n]);
    svg.querySelectorAll(":scope > g").forEach((old) => old.remove());
    const layer = element("g", {}, svg);
    drawBox(layer, project, whole, BACK, "array", chunks);
    const box = chunkExplorer.boxOf(shape, access);
    let left = null;
    if (box) {
      const fetched = voxelsOf(chunkExplorer.touched(box, chunks), chunks, shape);
      drawBox(layer, project, fetched, FRONT, "fetched", chunks);
      drawAsked(layer, project, box.map(([first, last]) => [first, last + 1]));
    } else {
      const points = chunkExplorer.points(shape, access.size, access.seed);
      const found = chunksOf(points, chunks);
      const step = Math.ceil(found.length / MOST_BOXES);
      const shown = found.filter((_, i) => i % step === 0);
      for (const index of shown)
        drawBox(layer, project, voxelsOf(index.map((i) => [i, i]), chunks, shape), FRONT, "fetched");
      const seen = new Set(shown.map(String));
      const inside = points.filter((point) => seen.has(String(indexOf(point, chunks)))).slice(0, MOST_BOXES);
      for (const point of inside) drawAsked(layer, project, point.map((i) => [i, i + 1]));
      if (shown.length < found.length || inside.length < points.length)
        left = { chunks: [shown.length, found.length], voxels: [inside.length, points.length] };
    }
    drawBox(layer, project, whole, FRONT, "outline");
    label(layer, project, shape);
    return left;
  }

  return { draw };
})();
