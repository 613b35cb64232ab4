"use strict";
(() => {
  const main = document.querySelector("main");
  const svg = main.querySelector("svg");
  const about = document.getElementById("about");
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const lines = [...document.querySelectorAll("#lines > pre")];
  const boxes = new Map();
  for (const box of svg.querySelectorAll(".box")) boxes.set(box.dataset.key, box);
  const edges = [...svg.querySelectorAll(".edge")];
  const [width, height] = [svg.width.baseVal.value, svg.height.baseVal.value];
  let scale = 1;
  let pinned = null;
  let found = [];
  let at = -1;

  // Zoom: the point of the drawing under (x, y) of the window stays where it is.
  // One that is narrower than the window is centered in it, so that only its place on the screen
  // says where its points are.
  function zoom(to, x = main.clientWidth / 2, y = main.clientHeight / 2) {
    const room = main.getBoundingClientRect();
    const before = svg.getBoundingClientRect();
    const factor = Math.min(8, Math.max(0.05, to)) / scale;
    scale *= factor;
    svg.setAttribute("width", width * scale);
    svg.setAttribute("height", height * scale);
    const after = svg.getBoundingClientRect();
    main.scrollLeft += after.left + (room.left + x - before.left) * factor - room.left - x;
    main.scrollTop += after.top + (room.top + y - before.top) * factor - room.top - y;
  }
  const fit = () => zoom(Math.min(main.clientWidth / width, main.clientHeight / height));

  // A box: its layers' lines of the prototxt, and the edges that end at it.
  function show(box) {
    for (const other of boxes.values()) other.classList.toggle("shown", other === box);
    const key = box ? box.dataset.key : null;
    for (const edge of edges) {
      edge.classList.toggle("near", key !== null && (edge.dataset.from === key || edge.dataset.to === key));
    }
    about.replaceChildren();
    if (!box) return about.append(Object.assign(document.createElement("p"), { textContent: about.dataset.empty }));
    const own = lines.filter((text) => text.dataset.box === key);
    for (const text of own) {
      const name = text.dataset.layer + (text.dataset.line ? ", line " + text.dataset.line : "");
      about.append(Object.assign(document.createElement("h2"), { textContent: name }));
      about.append(Object.assign(document.createElement("pre"), { textContent: text.textContent }));
    }
    if (!own.length) about.append(Object.assign(document.createElement("h2"), { textContent: box.dataset.role + " " + box.dataset.name }));
  }
  function pin(box) {
    pinned = box;
    show(box);
  }
  function reveal(box) {
    const [place, room] = [box.getBoundingClientRect(), main.getBoundingClientRect()];
    main.scrollLeft += place.left + place.width / 2 - room.left - room.width / 2;
    main.scrollTop += place.top + place.height / 2 - room.top - room.height / 2;
    pin(box);
  }

  function look() {
    const words = search.value.trim().toLowerCase();
    const keys = words ? lines.filter((text) => text.dataset.layer.toLowerCase().includes(words)) : [];
    found = [...new Set(keys.map((text) => boxes.get(text.dataset.box)))].filter(Boolean);
    at = -1;
    for (const box of boxes.values()) box.classList.toggle("found", found.includes(box));
    count.value = words ? keys.length + " found" : "";
    if (found.length) next(1);
  }
  function next(step) {
    if (!found.length) return;
    at = (at + step + found.length) % found.length;
    reveal(found[at]);
  }

  const boxOf = (event) => {
    const item = event.target.closest(".box, .frame");
    return item && item.classList.contains("frame") ? boxes.get(item.dataset.boxes.split(" ")[0]) : item;
  };
  svg.addEventListener("pointerover", (event) => {
    const box = boxOf(event);
    if (box && !pinned) show(box);
  });
  // Not of the drawing itself, which would take the focus too if it listened to it.
  main.addEventListener("focusin", (event) => {
    const box = boxOf(event);
    if (box) show(box);
  });
  let drag = null;
  main.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType !== "mouse") return;
    drag = { x: event.clientX, y: event.clientY, left: main.scrollLeft, top: main.scrollTop, far: false };
  });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [across, down] = [event.clientX - drag.x, event.clientY - drag.y];
    drag.far = drag.far || Math.hypot(across, down) > 2;
    main.classList.toggle("dragged", drag.far);
    main.scrollLeft = drag.left - across;
    main.scrollTop = drag.top - down;
  });
  addEventListener("pointerup", () => main.classList.remove("dragged"));
  svg.addEventListener("click", (event) => {
    if (!(drag && drag.far)) pin(boxOf(event));
    drag = null;
  });
  addEventListener("pointerup", () => setTimeout(() => (drag = null)));
  main.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const room = main.getBoundingClientRect();
    zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - room.left, event.clientY - room.top);
  }, { passive: false });

  const actions = { in: () => zoom(scale * 1.25), out: () => zoom(scale / 1.25), fit, whole: () => zoom(1) };
  for (const button of document.querySelectorAll("button[data-zoom]")) {
    button.addEventListener("click", actions[button.dataset.zoom]);
  }
  search.form.addEventListener("submit", (event) => {
    event.preventDefault();
    next(1);
  });
  search.addEventListener("input", look);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = "";
      look();
      pin(null);
      return;
    }
    if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = { "+": actions.in, "=": actions.in, "-": actions.out, 0: fit, 1: actions.whole, "/": () => search.focus(), n: () => next(1), N: () => next(-1) };
    if ((event.key === "Enter" || event.key === " ") && event.target.closest && event.target.closest(".box")) pin(boxOf(event));
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });

  // Boxes are buttons now, which what is one picture cannot hold.
  svg.setAttribute("role", "group");
  for (const box of boxes.values()) {
    box.setAttribute("role", "button");
    box.setAttribute("tabindex", "0");
  }
  if (width > main.clientWidth) zoom(Math.max(0.4, main.clientWidth / width));
  show(null);
})();
