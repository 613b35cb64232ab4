// The page's state, and how it is drawn: once a frame, only what has changed.

const state = {
  pictures: [], // of each: its name and the small picture
  place: -1, // which of them is open
  map: null,
  shown: null, // the class chosen, by its place in the map's classes; null: each cell's likeliest
  cell: -1,
  pinned: false,
  opacity: 70,
  threshold: 0, // a code; 0 shows everything
  scale: null, // the one chosen; null: see `scaleName`
  background: null,
  smooth: false,
};

function element(name, values) {
  return Object.assign(document.createElement(name), values);
}

/** The last part of a path. */
const fileName = (path) => path.split(/[\\/]/).pop() || path;

/** Tell who listens; what the eye sees is not repeated. */
function say(text) {
  byId("said").textContent = text;
}

let waiting = false;
let saving = 0;

/** Draw what has changed, in the next frame. */
function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

/** What was drawn last: name -> what it depended on. */
const drawn = {};

function drawIf(name, parts, how) {
  const key = parts.join();
  if (drawn[name] === key) return;
  drawn[name] = key;
  how();
}

function draw() {
  const { map, place, shown, threshold, scale, background, opacity, smooth, cell, pinned } = state;
  if (!map) return;
  const look = [place, shown, threshold, scale, background];
  drawIf("cells", look, () => paintCells(byId("heat"), map, state));
  drawIf("look", [opacity, smooth], () => {
    byId("heat").style.opacity = opacity / 100;
    byId("heat").classList.toggle("smooth", smooth);
  });
  drawIf("controls", [...look, opacity, smooth], drawControls);
  drawIf("classes", [place, shown, background], drawClasses);
  drawIf("cell", [place, shown, background, cell, pinned], drawCell);
  drawIf("view", [place, ...Object.values(view)], drawView);
  drawIf("fragment", [fragment()], () => {
    clearTimeout(saving);
    saving = setTimeout(saveFragment, 300);
  });
}

/** The cells' shares of the picture, all together. */
function coveredBox() {
  const { map } = state;
  const [left, top, width, height] = map.box(0, "tile");
  const [right, bottom] = map.box(map.cells - 1, "tile");
  return [left, top, right - left + width, bottom - top + height];
}

/** The picture that was asked for last: one that is ready later is not shown. */
let asked = -1;

async function openPicture(place, words = new URLSearchParams()) {
  asked = place;
  const map = await readMap(place);
  const image = element("img", { src: map.record.picture });
  await image.decode();
  if (asked !== place) return;
  Object.assign(state, choicesIn(map), { map, place, cell: -1, pinned: false });
  byId("picture").src = image.src;
  namePicture(map);
  layOver(byId("heat"), coveredBox());
  fillControls();
  fillAbout();
  drawPictures();
  fitView();
  applyFragment(words);
  fillClasses();
  changed();
}

/** What was chosen, in another map: the same class, where it is kept there, and the same level. */
function choicesIn(map) {
  const { background, shown } = map.record;
  if (!state.map) return { background, shown };
  const chosen = state.map.classes[state.shown]?.number;
  const same = map.classes.findIndex(({ number }) => number === chosen);
  const threshold = state.threshold && map.codeNear(state.map.value(state.threshold));
  return { background, shown: same < 0 ? unchosen(map) : same, threshold };
}

/** What is shown where no class is chosen: the first explained, or each cell's likeliest. */
function unchosen(map) {
  return map.explained ? map.record.shown : null;
}

function namePicture({ record, rows, columns, ranked }) {
  const name = fileName(record.name);
  document.title = `${name} - class map`;
  byId("name").textContent = name;
  byId("name").title = record.name;
  const found = `${ranked.length} ${ranked.length === 1 ? "class" : "classes"} ${record.explained ? "explained" : "found"}`;
  byId("facts").textContent = `${rows} \u00d7 ${columns} cells, ${found}`;
  byId("picture").alt = `The picture ${name}`;
  stage.setAttribute("aria-label", `Map of ${name}, ${rows} rows and ${columns} columns of cells`);
  document.documentElement.style.setProperty("--shape", record.size[1] / record.size[0]);
}

function showTrouble(error) {
  byId("trouble").textContent = `The map cannot be shown: ${error.message}`;
  byId("trouble").hidden = false;
}

/** Open what a fragment names. */
async function restore(words) {
  const number = Number(words.get("picture") ?? 1);
  const place = state.pictures[number - 1] ? number - 1 : 0;
  if (place !== state.place) await openPicture(place, words);
  else applyFragment(words);
  changed();
}

const KEYS = {
  ArrowUp: () => moveCell(-1, 0),
  ArrowDown: () => moveCell(1, 0),
  ArrowLeft: () => moveCell(0, -1),
  ArrowRight: () => moveCell(0, 1),
  Home: () => moveCell(0, -Infinity),
  End: () => moveCell(0, Infinity),
  PageUp: () => moveCell(-Infinity, 0),
  PageDown: () => moveCell(Infinity, 0),
  Enter: () => { if (state.cell >= 0) { state.pinned = !state.pinned; changed(); } },
  Escape: () => { state.pinned = false; state.cell = -1; changed(); },
  "+": () => zoomBy(1.5),
  "-": () => zoomBy(1 / 1.5),
  0: fitView,
  "/": () => byId("search").focus(),
  n: () => nextPicture(1),
  p: () => nextPicture(-1),
};
KEYS[" "] = KEYS.Enter;
KEYS["="] = KEYS["+"];

/** With Shift arrows move the picture, by so many pixels of the screen. */
const STRIDE = 60;
const SHIFTED = {
  ArrowUp: () => placeView(view.scale, view.left, view.top + STRIDE),
  ArrowDown: () => placeView(view.scale, view.left, view.top - STRIDE),
  ArrowLeft: () => placeView(view.scale, view.left + STRIDE, view.top),
  ArrowRight: () => placeView(view.scale, view.left - STRIDE, view.top),
};

function nextPicture(step) {
  const place = state.place + step;
  if (state.pictures[place]) openPicture(place).catch(showTrouble);
}

function watchKeys() {
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const shifted = event.shiftKey && Object.hasOwn(SHIFTED, event.key) && SHIFTED[event.key];
    const act = shifted || (Object.hasOwn(KEYS, event.key) && KEYS[event.key]);
    if (!act) return;
    event.preventDefault();
    act();
  });
  const help = byId("help");
  byId("open-help").addEventListener("click", () => help.showModal());
}

async function start() {
  state.pictures = parts.map((part) => {
    const { name, small } = JSON.parse(part.textContent);
    return { name, small };
  });
  makeCellRows();
  watchStage();
  watchClasses();
  watchControls();
  watchExports();
  watchKeys();
  fillPictures();
  await restore(new URLSearchParams(location.hash.slice(1)));
  document.documentElement.dataset.ready = "true";
}

start().catch(showTrouble);
