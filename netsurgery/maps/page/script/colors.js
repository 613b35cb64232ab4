// Colors of cells: of their classes, or of the values of one class.

const SCALES = {
  heat: { name: "heat", colors: settings.heat },
  ice: {
    name: "ice",
    colors: [[10, 20, 38], [16, 58, 92], [24, 108, 140], [76, 166, 176], [168, 216, 206], [244, 250, 240]],
  },
  grey: { name: "grey", colors: [[0, 0, 0], [255, 255, 255]] },
  class: { name: "class color", colors: null },
};
/** A cell that the net is least sure of still shows this much. */
const LEAST = 0.3;

/** Whether a class has a color that no other has; rare ones share the last. */
const hasOwnColor = (rank) => rank >= 0 && rank < settings.classColors.length - 1;

/** A class's color: the commonest gets the first. */
const classColor = (rank) => settings.classColors.at(hasOwnColor(rank) ? rank : -1);

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
    const share = map.share(code);
    const alpha = scale.colors ? LEAST + (1 - LEAST) * share : share;
    table.set([...(scale.colors ? between(scale.colors, share) : color), 255 * alpha], 4 * code);
  }
  return table;
}

/** Paint a map on a canvas of one pixel a cell. */
function paintCells(canvas, map, { shown, scale, threshold, background }) {
  canvas.width = map.columns;
  canvas.height = map.rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.columns, map.rows);
  if (shown === null) paintLikeliest(image.data, map, threshold, background);
  else paintClass(image.data, map, shown, SCALES[scale], threshold);
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

/** The colors of a scale as a gradient from left to right. */
function gradient(scale, color) {
  const stops = scale.colors
    ? Array.from({ length: 11 }, (_, at) => css(between(scale.colors, at / 10)))
    : ["transparent", css(color)];
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
