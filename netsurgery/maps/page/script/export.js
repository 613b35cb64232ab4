// What can be taken along: a link to the view, what is seen as PNG, a cell's numbers as JSON.

function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** The picture's name, without what cannot be in the name of a file. */
function plainName() {
  return fileName(state.map.record.name).replace(/\.[a-z0-9]{1,5}$/i, "")
    .replace(/[^\p{L}\p{N}._ -]/gu, "_").slice(0, 80) || "map";
}

function saveCell() {
  const { map, cell } = state;
  const text = `${JSON.stringify(cellRecord(cell), null, 2)}\n`;
  const name = `${plainName()}_${map.row(cell)}_${map.column(cell)}.json`;
  download(new Blob([text], { type: "application/json" }), name);
  say(`Saved ${name}`);
}

/** The stage as it is seen, and a line under it that says what it is. */
function saveView() {
  const ratio = Math.max(2, window.devicePixelRatio);
  const [width, height, foot] = [stage.clientWidth, stage.clientHeight, 30];
  const canvas = element("canvas", { width: width * ratio, height: (height + foot) * ratio });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(stage);
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, width, height + foot);
  context.fillStyle = style.color;
  context.font = `13px ${style.fontFamily}`;
  const line = `${fileName(state.map.record.name)}: ${shownText()}`;
  context.fillText(line, 10, height + 20, width - 20);
  context.beginPath();
  context.rect(0, 0, width, height);
  context.clip();
  drawScene(context);
  canvas.toBlob((blob) => download(blob, `${plainName()}_map.png`), "image/png");
  say("Saved what is seen as PNG");
}

function drawScene(context) {
  const { map } = state;
  const { height, width } = pictureSize();
  const onStage = ([x, y, boxWidth, boxHeight]) => [
    view.left + x * view.scale, view.top + y * view.scale, boxWidth * view.scale, boxHeight * view.scale];
  context.drawImage(byId("picture"), ...onStage([0, 0, width, height]));
  context.save();
  context.beginPath();
  context.rect(...onStage([0, 0, width, height]));
  context.clip();
  context.globalAlpha = state.opacity / 100;
  context.imageSmoothingEnabled = state.smooth;
  context.drawImage(byId("heat"), ...onStage(coveredBox()));
  context.restore();
  if (state.cell < 0) return;
  const outline = (kind, dashes) => {
    for (const [color, lineWidth] of [["#000", 4], ["#fff", 2]]) {
      Object.assign(context, { strokeStyle: color, lineWidth });
      context.setLineDash(color === "#fff" ? dashes : []);
      context.strokeRect(...onStage(map.box(state.cell, kind)));
    }
  };
  outline("window", []);
  outline("tile", [4, 3]);
}

const close = (number, digits) => Number(number.toFixed(digits));

/** The view as the fragment of an address. */
function fragment() {
  const { map } = state;
  const words = new URLSearchParams();
  if (state.pictures.length > 1) words.set("picture", state.place + 1);
  words.set("class", state.shown === null ? "max" : map.classes[state.shown].number);
  if (state.cell >= 0 && state.pinned) {
    words.set("cell", `${map.row(state.cell)},${map.column(state.cell)}`);
  }
  words.set("opacity", state.opacity);
  if (state.threshold) words.set("threshold", map.value(state.threshold));
  if (state.scale) words.set("scale", state.scale);
  const { background } = state;
  words.set("background", background === null ? "none" : map.classes[background].number);
  if (state.smooth) words.set("smooth", "1");
  if (!view.fitted) {
    const { height, width } = pictureSize();
    const x = (stage.clientWidth / 2 - view.left) / view.scale / width;
    const y = (stage.clientHeight / 2 - view.top) / view.scale / height;
    words.set("view", [view.scale / fittedScale(), x, y].map((part) => close(part, 4)).join(","));
  }
  return words;
}

/** The numbers in a word of the fragment, null where they are not `count` finite ones. */
function numbersIn(words, name, count) {
  const numbers = (words.get(name) ?? "").split(",").map((part) => (part.trim() ? Number(part) : NaN));
  return numbers.length === count && numbers.every(Number.isFinite) ? numbers : null;
}

/** The view that a fragment describes; what it does not say, or wrongly, stays as it is. */
function applyFragment(words) {
  const { map } = state;
  const known = (name) => map.classes.findIndex(({ number }) => String(number) === words.get(name));
  if (words.get("class") === "max") state.shown = unchosen(map);
  else if (known("class") >= 0) state.shown = known("class");
  if (words.get("background") === "none") state.background = null;
  else if (known("background") >= 0) state.background = known("background");
  if (Object.hasOwn(SCALES, words.get("scale") ?? "")) state.scale = words.get("scale");
  state.smooth = words.has("smooth") ? words.get("smooth") === "1" : state.smooth;
  const [opacity] = numbersIn(words, "opacity", 1) ?? [state.opacity];
  state.opacity = Math.round(Math.max(0, Math.min(100, opacity)));
  const threshold = numbersIn(words, "threshold", 1);
  if (threshold) state.threshold = map.codeNear(threshold[0]);
  const place = numbersIn(words, "view", 3);
  if (place && place[0] > 0) {
    const { height, width } = pictureSize();
    zoomAt(fittedScale() * place[0] / view.scale, 0, 0);
    placeView(view.scale, stage.clientWidth / 2 - place[1] * width * view.scale,
      stage.clientHeight / 2 - place[2] * height * view.scale);
  }
  const cell = numbersIn(words, "cell", 2);
  if (cell && cell[0] >= 0 && cell[0] < map.rows && cell[1] >= 0 && cell[1] < map.columns) {
    state.cell = Math.floor(cell[0]) * map.columns + Math.floor(cell[1]);
    state.pinned = true;
  }
}

async function copyLink() {
  saveFragment();
  try {
    await navigator.clipboard.writeText(location.href);
    say("Copied the link to this view");
  } catch {
    say("The browser does not let the page copy; the link is in the address bar");
  }
}

/** A page in a frame of another has no address of its own. */
const hasAddress = location.protocol !== "about:";

function saveFragment() {
  if (hasAddress && state.map) history.replaceState(null, "", `#${fragment()}`);
}

function watchExports() {
  byId("copy-link").hidden = !hasAddress;
  byId("copy-link").addEventListener("click", copyLink);
  byId("save-view").addEventListener("click", saveView);
  byId("save-cell").addEventListener("click", saveCell);
  addEventListener("hashchange", () => {
    restore(new URLSearchParams(location.hash.slice(1))).catch(showTrouble);
  });
}
