// The list of classes: what was found first, most cells first, then what else is kept.

/** More lines than this are not made: the search finds the others. */
const LINES = 300;

function fillClasses() {
  const { map } = state;
  const words = byId("search").value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ number, id, names }) => {
    const text = `${number} ${id} ${names}`.toLocaleLowerCase();
    return words.every((word) => text.includes(word));
  };
  const matching = map.inOrder(map.classes).filter(fits);
  const lines = matching.slice(0, LINES).map(({ index }) => classLine(index));
  if (!words.length && !map.explained) lines.unshift(classLine(null));
  byId("classes").replaceChildren(...lines);
  byId("no-class").textContent = classNote(matching.length, words.length > 0);
  const found = map.ranked.length;
  byId("class-count").textContent = map.explained
    ? `${found} explained` : `${found} of ${map.record.classCount} found`;
}

function classNote(count, searched) {
  const { map } = state;
  if (count > LINES) return `and ${count - LINES} more: search for them`;
  const left = map.record.classCount - map.classes.length;
  if (left && (searched || count === map.classes.length)) {
    return `${searched ? `${count} of the kept classes match; ` : ""}${left} classes are among the `
      + `${settings.most} likeliest of no cell (--all-classes keeps them)`;
  }
  return searched ? `${count} match` : "";
}

/** A line to choose a class by; null is the likeliest class of each cell. */
function classLine(index) {
  const { map } = state;
  const input = element("input", { type: "radio", name: "class", value: index ?? "" });
  input.checked = state.shown === index;
  const line = element("label", { className: "class" });
  line.append(input);
  if (index === null) {
    line.append(element("span", { className: "chip all" }), element("span", { textContent: "Likeliest of each cell" }));
    return line;
  }
  const each = map.classes[index];
  const chip = element("span", { className: "chip" });
  paintChip(chip, index);
  const name = element("bdi", { textContent: map.named(index), className: "name" });
  const best = each.best === null ? "" : map.text(map.codeNear(each.best));
  const cells = each.cells ? `${each.cells} ${each.cells > 1 ? "cells" : "cell"}` : `best ${best}`;
  const share = element("span", {
    className: "pale",
    textContent: map.explained ? map.explained[index] : cells,
  });
  line.title = [`class ${each.number}`, each.id, each.names, best && `best ${best}`].filter(Boolean).join(", ");
  line.append(chip, name, share);
  return line;
}

function watchClasses() {
  byId("search").addEventListener("input", fillClasses);
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && byId("search").value) {
      event.preventDefault();
      byId("search").value = "";
      fillClasses();
    } else if (event.key === "Enter" && byId("search").value) {
      byId("classes").querySelector("input")?.click();
    }
  });
  byId("classes").addEventListener("change", ({ target }) => {
    state.shown = target.value === "" ? null : Number(target.value);
    changed();
  });
}

/** The colors, and the choice, where it was made elsewhere, with its line in sight. */
function drawClasses() {
  for (const input of byId("classes").querySelectorAll("input")) {
    if (input.value !== "") paintChip(input.nextElementSibling, Number(input.value));
    input.checked = input.value === String(state.shown ?? "");
    if (input.checked) showLine(input.closest("label"), byId("classes").parentElement);
  }
}

/** Scroll a list, and nothing around it, until a line of it is seen. */
function showLine(line, list) {
  const [edges, room] = [line.getBoundingClientRect(), list.getBoundingClientRect()];
  if (edges.top < room.top) list.scrollTop -= room.top - edges.top;
  if (edges.bottom > room.bottom) list.scrollTop += edges.bottom - room.bottom;
}
