// The cell pointed at or pinned: its window and tile on the picture, its likeliest classes beside it.

const cellRows = [];
/** The color, of those about 0, of a bar below 0. */
const AGAINST = 2;

/** Rows are made once; pointing only changes their text and bars. */
function makeCellRows() {
  for (let rank = 0; rank <= settings.first; rank++) {
    const row = element("li", { className: "score" });
    const parts = {
      chip: element("span", { className: "chip" }),
      name: element("bdi", {}),
      value: element("span", { className: "value" }),
      bar: element("span", { className: "bar" }),
    };
    row.append(parts.chip, parts.name, parts.value, parts.bar);
    parts.fill = parts.bar.appendChild(element("span", {}));
    if (rank === settings.first) row.classList.add("asked");
    byId("cell-classes").append(row);
    cellRows.push({ row, ...parts });
  }
}

/** The cell that the pointer is over. Beside the map the last one stays, and so does a pinned one. */
function pointAt(cell) {
  if (state.pinned || cell < 0 || cell === state.cell) return;
  state.cell = cell;
  changed();
}

function pinCell(cell) {
  const again = state.pinned && cell === state.cell;
  state.pinned = cell >= 0 && !again;
  state.cell = cell;
  changed();
}

function goToCell(row, column) {
  const { map } = state;
  const within = (at, count) => Math.max(0, Math.min(count - 1, at));
  state.cell = within(row, map.rows) * map.columns + within(column, map.columns);
  bringIntoView(state.cell);
  changed();
  say(cellSentence(state.cell));
}

function moveCell(down, right) {
  const { map, cell } = state;
  if (cell < 0) goToCell((map.rows - 1) >> 1, (map.columns - 1) >> 1);
  else goToCell(map.row(cell) + down, map.column(cell) + right);
}

function cellSentence(cell) {
  const { map } = state;
  const scores = map.likeliest(cell).slice(0, 3)
    .map(([index, code]) => `${map.named(index)} ${map.text(code)}`);
  return `Row ${map.row(cell)}, column ${map.column(cell)}: ${scores.join(", ")}`;
}

function drawCell() {
  const { map, cell, pinned } = state;
  const none = cell < 0;
  byId("window").hidden = byId("tile").hidden = none;
  stage.classList.toggle("pinned", pinned);
  const pin = byId("pin");
  pin.disabled = byId("save-cell").disabled = none;
  pin.setAttribute("aria-pressed", String(pinned));
  pin.textContent = pinned ? "Unpin" : "Pin";
  byId("cell-classes").classList.toggle("empty", none);
  if (none) {
    byId("cell-place").textContent = "Point at the map, or tap it.";
    return;
  }
  layOver(byId("window"), map.box(cell, "window"));
  layOver(byId("tile"), map.box(cell, "tile"));
  byId("cell-place").textContent = placeText(cell);
  map.likeliest(cell).forEach(([index, code], rank) => fillRow(cellRows[rank], index, code));
  fillAsked(cell);
}

function placeText(cell) {
  const { map } = state;
  const [x, y, width, height] = map.box(cell, "window");
  const from = (start, length) => [start, start + length].map(Math.round).join("\u2013");
  return `Row ${map.row(cell)}, column ${map.column(cell)} \u00b7 x ${from(x, width)}, y ${from(y, height)}`;
}

function fillRow({ row, chip, name, value, fill }, index, code) {
  const { map } = state;
  row.hidden = false;
  row.classList.toggle("chosen", index === state.shown);
  const { rank } = map.classes[index];
  name.textContent = map.named(index);
  value.textContent = code < 0 ? "not kept" : map.text(code);
  paintChip(chip, index);
  fill.style.background = hasOwnColor(rank) ? css(classColor(rank)) : "";
  // What speaks against a class is as blue as on the map.
  if (map.explained && map.value(code) < 0) fill.style.background = css(settings.signed[AGAINST]);
  fill.style.width = `${100 * (code < 0 ? 0 : map.barOf(code))}%`;
}

/** The class chosen, where it is not among the likeliest. */
function fillAsked(cell) {
  const { map, shown } = state;
  const last = cellRows[settings.first];
  const listed = map.likeliest(cell).some(([index]) => index === shown);
  last.row.hidden = shown === null || listed;
  if (!last.row.hidden) fillRow(last, shown, map.code(shown, cell));
  for (let rank = map.first; rank < settings.first; rank++) cellRows[rank].row.hidden = true;
}

/** All that is kept of a cell, as plain values. */
function cellRecord(cell) {
  const { map } = state;
  const { record } = map;
  const [x, y, width, height] = map.box(cell, "window");
  const finite = (value) => (Number.isFinite(value) ? value : null);
  return {
    image: record.name,
    blob: record.blob,
    row: map.row(cell),
    column: map.column(cell),
    window: [x, y, x + width, y + height],
    is_probability: record.scored === "probability",
    step: Number(stepText()),
    classes: map.kept(cell).map(([index, code]) => ({
      class: map.classes[index].number,
      label: record.labels ? [map.classes[index].id, map.named(index)].join(" ").trim() : null,
      [map.explained ? "value" : "score"]: finite(map.value(code)),
    })),
  };
}
