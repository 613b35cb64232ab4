// Opacity, threshold, scale, background, smoothness; what is shown, in words; the pictures.

function option(value, text) {
  return element("option", { value, textContent: text });
}

/** What there is to choose of this map. */
function fillControls() {
  const { map } = state;
  byId("threshold").max = map.last;
  const classes = map.ranked.map(({ index }) => option(index, map.named(index)));
  byId("background").replaceChildren(option("", "none"), ...classes);
  const scales = Object.entries(SCALES).filter(([, { signed }]) => map.signed || !signed);
  byId("scale").replaceChildren(...scales.map(([key, { name }]) => option(key, name)));
}

function watchControls() {
  const bind = (id, kind, name, read) => byId(id).addEventListener(kind, ({ target }) => {
    state[name] = read(target.value);
    changed();
  });
  bind("opacity", "input", "opacity", Number);
  bind("threshold", "input", "threshold", Number);
  bind("scale", "change", "scale", String);
  bind("smooth", "change", "smooth", Boolean);
  bind("background", "change", "background", (value) => (value === "" ? null : Number(value)));
  byId("zoom-in").addEventListener("click", () => zoomBy(1.5));
  byId("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  byId("zoom-fit").addEventListener("click", fitView);
  byId("pin").addEventListener("click", () => { state.pinned = !state.pinned; changed(); });
}

function thresholdText() {
  return state.threshold ? state.map.digits(state.threshold) : "none";
}

function drawControls() {
  const { map, shown } = state;
  byId("opacity").value = state.opacity;
  byId("opacity-value").textContent = `${state.opacity} %`;
  byId("threshold").value = state.threshold;
  byId("threshold").setAttribute("aria-valuetext", thresholdText());
  byId("threshold-value").textContent = thresholdText();
  byId("scale").value = scaleName();
  byId("scale").disabled = shown === null;
  byId("background").value = state.background ?? "";
  byId("background").disabled = shown !== null;
  byId("smooth").value = state.smooth ? "1" : "";
  byId("shown").textContent = shownText();
  byId("scale-bar").hidden = shown === null;
  if (shown === null) return;
  const scale = SCALES[scaleName()];
  byId("scale-colors").style.background = gradient(scale, map, classColor(map.classes[shown].rank));
  byId("scale-zero").hidden = !scale.signed;
  byId("scale-zero").style.left = `${100 * map.share(map.codeNear(0))}%`;
  byId("scale-low").textContent = map.digits(1);
  byId("scale-high").textContent = map.digits(map.last);
}

/** What is on the picture now. */
function shownText() {
  const { map, shown, background } = state;
  const { scored } = map.record;
  const what = shown === null ? "likeliest class of each cell" : `${scored} of ${map.named(shown)}`;
  const text = state.threshold ? `${what}, from ${thresholdText()}` : what;
  const hidden = shown === null && background !== null;
  return hidden ? `${text}; not painted: ${map.named(background)}` : text;
}

/** A list of what else is known of the map. */
function fillAbout() {
  const { map } = state;
  const { record } = map;
  const size = (pair) => pair.join(" \u00d7 ");
  const facts = {
    "Picture": `${size(record.size)} pixels (height \u00d7 width)`,
    "Input of the net": size(record.input),
    "Map": `${size(record.map)} cells of blob ${record.blob}`,
    "Window": `${size(record.places.windowSize.map(rounded))} pixels, every ${size(record.places.stride.map(rounded))}`,
    "Engine": record.engine,
    "Explained by": record.method,
    "Values": `${valuesText()}, in steps of ${stepText()}`,
    "Kept": keptText(),
    "Notes": record.notes.join("; "),
  };
  const rows = Object.entries(facts).filter(([, text]) => text).map(([name, text]) => {
    const row = element("div", {});
    row.append(element("dt", { textContent: name }), element("dd", { textContent: text }));
    return row;
  });
  byId("about").replaceChildren(...rows);
}

const rounded = (number) => Number(number.toFixed(2));

function valuesText() {
  const { record } = state.map;
  if (record.explained) return record.scored;
  return record.scored === "probability" ? "probabilities" : "scores";
}

function stepText() {
  const { mantissa, exponent } = state.map;
  const value = mantissa * 10 ** exponent;
  return Math.abs(exponent) < 7 ? value.toFixed(Math.max(0, -exponent)) : value.toPrecision(1);
}

function keptText() {
  const { map } = state;
  const { shared } = map.record;
  if (shared === map.record.classCount) return "every class of every cell";
  return `${shared} classes of every cell, and the ${settings.most} likeliest of each`;
}

/** Where there are several pictures, a button for each. */
function fillPictures() {
  const { pictures } = state;
  byId("pictures").hidden = pictures.length < 2;
  if (pictures.length < 2) return;
  byId("pictures").append(...pictures.map(({ name, small }, place) => {
    const button = element("button", { type: "button", title: name });
    const image = element("img", { src: small, alt: "" });
    button.append(image, element("bdi", { textContent: fileName(name) }));
    button.addEventListener("click", () => openPicture(place).catch(showTrouble));
    return button;
  }));
}

function drawPictures() {
  [...byId("pictures").children].forEach((button, place) => {
    button.setAttribute("aria-current", String(place === state.place));
  });
}
