// Where the picture lies on the stage: zoom and pan, by pointer, wheel and fingers.

const stage = byId("stage");
const world = byId("world");
/** How much larger than fitted the picture may be, and how much of it stays on the stage. */
const CLOSEST = 60;
const KEPT = 48;
/** A pointer that moves less than this has clicked. */
const STILL = 5;

/**
 * scale: screen pixels of a picture's pixel; left, top: the picture's corner on the stage;
 * fitted: whether the whole picture is shown, however large the stage becomes.
 */
const view = { scale: 1, left: 0, top: 0, fitted: true };

function pictureSize() {
  const [height, width] = state.map.record.size;
  return { height, width };
}

function fittedScale() {
  const { height, width } = pictureSize();
  return Math.min(stage.clientWidth / width, stage.clientHeight / height) || 1;
}

/** Show the whole picture. */
function fitView() {
  const { height, width } = pictureSize();
  const scale = fittedScale();
  placeView(scale, (stage.clientWidth - width * scale) / 2, (stage.clientHeight - height * scale) / 2);
  view.fitted = true;
}

function placeView(scale, left, top) {
  const { height, width } = pictureSize();
  const clamp = (at, size, room) => {
    const shown = Math.min(KEPT, size, room);
    return Math.max(shown - size, Math.min(room - shown, at));
  };
  view.fitted = false;
  view.scale = scale;
  view.left = clamp(left, width * scale, stage.clientWidth);
  view.top = clamp(top, height * scale, stage.clientHeight);
  changed();
}

/** Zoom by a factor; what is at (x, y) of the stage stays there. */
function zoomAt(factor, x, y) {
  const fitted = fittedScale();
  const scale = Math.max(fitted / 2, Math.min(fitted * CLOSEST, view.scale * factor));
  const ratio = scale / view.scale;
  placeView(scale, x - (x - view.left) * ratio, y - (y - view.top) * ratio);
}

/** Zoom about the cell in hand, else about the middle. */
function zoomBy(factor) {
  if (state.cell < 0) {
    zoomAt(factor, stage.clientWidth / 2, stage.clientHeight / 2);
    return;
  }
  const [x, y] = cellCenter(state.cell);
  zoomAt(factor, x, y);
  bringIntoView(state.cell);
}

/** Where the middle of a cell's tile is on the stage. */
function cellCenter(cell) {
  const [x, y, width, height] = state.map.box(cell, "tile");
  return [view.left + (x + width / 2) * view.scale, view.top + (y + height / 2) * view.scale];
}

function bringIntoView(cell) {
  if (view.fitted) return;
  const [x, y] = cellCenter(cell);
  const over = (at, room) => at - Math.max(KEPT, Math.min(room - KEPT, at));
  const [right, down] = [over(x, stage.clientWidth), over(y, stage.clientHeight)];
  if (right || down) placeView(view.scale, view.left - right, view.top - down);
}

/** The cell under a pointer. */
function cellUnder(event) {
  const bounds = stage.getBoundingClientRect();
  return state.map.cellAt(
    (event.clientX - bounds.left - view.left) / view.scale,
    (event.clientY - bounds.top - view.top) / view.scale,
  );
}

/** Fingers and buttons that are down: id -> where they are. */
const pointers = new Map();
/** The farthest a press has moved; more than one finger is never a click. */
let moved = 0;

function pointerDown(event) {
  if (event.pointerType === "mouse" && event.button > 1) return;
  moved = pointers.size ? Infinity : 0;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  stage.setPointerCapture(event.pointerId);
}

function pointerMove(event) {
  const before = pointers.get(event.pointerId);
  if (!before) {
    if (event.pointerType !== "touch") pointAt(cellUnder(event));
    return;
  }
  const now = { x: event.clientX, y: event.clientY };
  const [right, down] = [now.x - before.x, now.y - before.y];
  if (pointers.size === 1) {
    moved += Math.hypot(right, down);
    if (moved < STILL) return;
    stage.classList.add("dragged");
    placeView(view.scale, view.left + right, view.top + down);
  } else {
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
    const bounds = stage.getBoundingClientRect();
    placeView(view.scale, view.left + right / 2, view.top + down / 2);
    zoomAt(apart(now) / apart(before),
      (now.x + other.x) / 2 - bounds.left, (now.y + other.y) / 2 - bounds.top);
  }
  pointers.set(event.pointerId, now);
}

function pointerUp(event) {
  const pressed = pointers.delete(event.pointerId);
  stage.classList.remove("dragged");
  if (event.type === "pointerup" && pressed && moved < STILL && event.button === 0) {
    pinCell(cellUnder(event));
  }
}

function wheel(event) {
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode ? 30 : 1);
  const bounds = stage.getBoundingClientRect();
  // A pinch on a touchpad comes as small steps of a wheel with Ctrl.
  zoomAt(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0016)),
    event.clientX - bounds.left, event.clientY - bounds.top);
}

function watchStage() {
  stage.addEventListener("pointerdown", pointerDown);
  stage.addEventListener("pointermove", pointerMove);
  stage.addEventListener("pointerup", pointerUp);
  stage.addEventListener("pointercancel", pointerUp);
  stage.addEventListener("wheel", wheel, { passive: false });
  new ResizeObserver(() => {
    if (!state.map) return;
    if (view.fitted) fitView();
    else placeView(view.scale, view.left, view.top);
  }).observe(stage);
}

/** The picture, and all that lies on it, where the view says. */
function drawView() {
  const { height, width } = pictureSize();
  world.style.width = `${width * view.scale}px`;
  world.style.height = `${height * view.scale}px`;
  world.style.transform = `translate(${view.left}px, ${view.top}px)`;
  // Fingers scroll the page as long as there is nothing to move the picture to.
  stage.style.touchAction = view.fitted ? "pan-y" : "none";
}

/** Lay an element over a box of the picture's pixels. */
function layOver(element, [x, y, boxWidth, boxHeight]) {
  const { height, width } = pictureSize();
  Object.assign(element.style, {
    left: `${100 * x / width}%`,
    top: `${100 * y / height}%`,
    width: `${100 * boxWidth / width}%`,
    height: `${100 * boxHeight / height}%`,
  });
}
