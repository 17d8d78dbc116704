// Looks over the page that is open and returns lists of problems, one text each.
// Called by visits.py after the page has loaded. No problem, no line.
async () => {
  const problems = { foreign: [], overflow: [], images: [], alt: [], contrast: [] };
  const name = (element) => {
    const own = element.id ? "#" + element.id : [...element.classList].slice(0, 3).map((c) => "." + c).join("");
    const text = (element.textContent || element.alt || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return element.tagName.toLowerCase() + own + (text ? ` "${text}"` : "");
  };
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  // Open what is folded (solutions, hidden cells): it must be as sound as the rest.
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  for (const fold of document.querySelectorAll(".toggle-hidden")) fold.classList.remove("toggle-hidden");
  for (const fade of document.getAnimations()) fade.cancel(); // jumps to its end

  // What the page would fetch from elsewhere, now, early or when scrolled to.
  const fetching = "script[src], img[src], iframe[src], source[src], video[src], audio[src], embed[src], object[data], link[href]";
  const harmless = /^(canonical|alternate|license|author|next|prev|search|index|help|copyright)$/;
  for (const element of document.querySelectorAll(fetching)) {
    if (element.tagName === "LINK" && [...element.relList].every((rel) => harmless.test(rel))) continue;
    const url = new URL(element.src || element.data || element.href, location.href);
    if (/^(https?|wss?):$/.test(url.protocol) && url.hostname !== location.hostname)
      problems.foreign.push(`${element.tagName.toLowerCase()} points to ${url}`);
  }

  // Pictures, the lazy ones too.
  const pictures = [...document.images];
  for (const image of pictures) image.loading = "eager";
  await Promise.all(pictures.map((image) => image.decode().catch(() => null)));
  for (const image of pictures) {
    if (image.naturalWidth === 0) problems.images.push(`not loaded: ${image.src.slice(0, 120)}`);
    const alt = image.getAttribute("alt");
    const bare = alt === null || /\.(png|svg|jpe?g|gif|webp)$/i.test(alt);
    if (bare || (alt === "" && image.closest("article")))
      problems.alt.push(`${image.src.slice(0, 120)} has alt ${JSON.stringify(alt)}`);
  }

  // Width: the page itself must not scroll sideways, and what is wider than the
  // window must stand in a box that does, not in one that cuts it off.
  const width = document.documentElement.clientWidth;
  if (document.scrollingElement.scrollWidth > innerWidth + 1)
    problems.overflow.push(`the page is ${document.scrollingElement.scrollWidth} px wide in a window of ${innerWidth}`);
  const boxOf = (element) => {
    for (let box = element.parentElement; box && box !== document.body; box = box.parentElement)
      if (getComputedStyle(box).overflowX !== "visible") return box;
    return null;
  };
  for (const element of document.querySelectorAll("article :is(table, pre, img, svg, math, iframe, p, h1, h2, h3, div.cell)")) {
    if (!shown(element) || element.closest("svg") !== (element.tagName === "svg" ? element : null)) continue;
    const edges = element.getBoundingClientRect();
    if (edges.width === 0) continue;
    const box = boxOf(element);
    const limit = box ? box.getBoundingClientRect().right : width;
    if (edges.right <= limit + 1) continue;
    if (!box) problems.overflow.push(`${name(element)} ends at ${Math.round(edges.right)} px of ${width}`);
    else if (!/auto|scroll/.test(getComputedStyle(box).overflowX))
      problems.overflow.push(`${name(element)} is cut off by ${name(box).slice(0, 60)}`);
  }

  // Contrast by WCAG 2: colours are read back from a canvas, whatever their notation.
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const cache = new Map();
  const rgba = (colour) => {
    if (!cache.has(colour)) {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = colour;
      pixel.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
      cache.set(colour, [r, g, b, a / 255]);
    }
    return cache.get(colour);
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let box = element; box; box = box.parentElement) {
      const style = getComputedStyle(box);
      if (style.backgroundImage !== "none" && style.backgroundImage.includes("url")) return null; // unknown
      const layer = rgba(style.backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const opacityOf = (element) => {
    let opacity = 1;
    for (let box = element; box; box = box.parentElement) opacity *= parseFloat(getComputedStyle(box).opacity);
    return opacity;
  };
  const seen = new Set();
  let measured = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || /^(SCRIPT|STYLE|NOSCRIPT|TITLE|DESC)$/i.test(element.tagName)) continue;
    if (element.closest("svg, [disabled], [aria-disabled=true], .visually-hidden, .sr-only") || !shown(element)) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    if (!ground) continue;
    const ink = rgba(style.color);
    const colour = over([...ink.slice(0, 3), ink[3] * opacityOf(element)], ground);
    const [high, low] = [luminance(colour), luminance(ground)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    measured += 1;
    if (ratio >= (large ? 3 : 4.5)) continue;
    const kind = `${element.tagName}.${element.className}:${style.color}:${ground}`;
    if (seen.has(kind)) continue;
    seen.add(kind);
    problems.contrast.push(`${name(element)}: ${ratio.toFixed(2)} (${style.color} on rgb(${ground.slice(0, 3).map(Math.round)}))`);
  }
  if (measured === 0) problems.contrast.push("no text found to measure");
  return { ...problems, theme: document.documentElement.dataset.theme || "" };
}
