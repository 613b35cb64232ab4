// Colors of cells: of their classes, or of the values of one class.

const SCALES = {
  heat: { name: "heat", colors: settings.heat },
  signed: { name: "about 0", colors: settings.signed, signed: true },
  ice: {
    name: "ice",
    colors: [[10, 20, 38], [16, 58, 92], [24, 108, 140], [76, 166, 176], [168, 216, 206], [244, 250, 240]],
  },
  grey: { name: "grey", colors: [[0, 0, 0], [255, 255, 255]] },
  class: { name: "class color", colors: null },
};
/** The scale of the class shown: the one chosen, else that of its picture. */
function scaleName() {
  const { map, scale, shown } = state;
  const there = Object.hasOwn(SCALES, scale ?? "") && (map.signed || !SCALES[scale].signed);
  if (there) return scale;
  return shown !== null && map.isSigned(shown) ? "signed" : "heat";
}

/** Where a code is among the colors of a scale, and how far from the one that says least. */
function placeOn(scale, map, code) {
  if (!scale.signed) return [map.share(code), map.share(code)];
  const share = map.signedShare(code);
  return [share, Math.abs(2 * share - 1)];
}

/** A cell that the net is least sure of still shows this much. */
const LEAST = 0.3;

/** Whether a class has a color that no other has; rare ones share the last. */
const hasOwnColor = (rank) => rank >= 0 && rank < settings.classColors.length - 1;

/** A class's color: the commonest gets the first. */
const classColor = (rank) => settings.classColors.at(hasOwnColor(rank) ? rank : -1);

/** Give a chip its class's color. The background is not painted, and its chip is open. */
function paintChip(chip, index) {
  const open = state.shown === null && index === state.background;
  chip.classList.toggle("open", open);
  chip.style.background = open ? "" : css(classColor(state.map.classes[index].rank));
}

/** The color at a share, 0 to 1, of a scale. */
function between(colors, share) {
  const place = share * (colors.length - 1);
  const low = Math.min(Math.floor(place), colors.length - 2);
  return colors[low].map((part, at) => part + (colors[low + 1][at] - part) * (place - low));
}

const css = (color) => `rgb(${color.map(Math.round).join(" ")})`;

/** Colors and alpha for every code of a map. */
function codeTable(map, scale, color) {
  const table = new Uint8ClampedArray(4 * (map.last + 2));
  for (let code = 0; code <= map.last + 1; code++) {
    const [share, strength] = placeOn(scale, map, code);
    const alpha = scale.colors ? LEAST + (1 - LEAST) * strength : share;
    table.set([...(scale.colors ? between(scale.colors, share) : color), 255 * alpha], 4 * code);
  }
  return table;
}

/** Paint a map on a canvas of one pixel a cell. */
function paintCells(canvas, map, { shown, threshold, background }) {
  canvas.width = map.columns;
  canvas.height = map.rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.columns, map.rows);
  if (shown === null) paintLikeliest(image.data, map, threshold, background);
  else paintClass(image.data, map, shown, SCALES[scaleName()], threshold);
  context.putImageData(image, 0, 0);
}

function paintLikeliest(pixels, map, threshold, background) {
  const colors = map.classes.map(({ rank }) => classColor(rank));
  for (let cell = 0; cell < map.cells; cell++) {
    const index = map.order[cell];
    const code = map.topCodes[cell];
    if (index === background || code < threshold) continue;
    pixels.set(colors[index], 4 * cell);
    pixels[4 * cell + 3] = 255 * (LEAST + (1 - LEAST) * map.share(code));
  }
}

function paintClass(pixels, map, shown, scale, threshold) {
  const codes = map.codesOf(shown);
  const table = codeTable(map, scale, classColor(map.classes[shown].rank));
  for (let cell = 0; cell < map.cells; cell++) {
    const code = codes[cell];
    if (code >= 0 && code >= threshold) {
      pixels.set(table.subarray(4 * code, 4 * code + 4), 4 * cell);
    }
  }
}

/** The colors of a scale from the lowest value of a map to the highest, from left to right. */
function gradient(scale, map, color) {
  const code = (at) => 1 + (map.last - 1) * at;
  const stops = scale.colors
    ? Array.from({ length: 25 }, (_, at) =>
      css(between(scale.colors, placeOn(scale, map, code(at / 24))[0])))
    : ["transparent", css(color)];
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
