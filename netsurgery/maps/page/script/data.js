// The maps in this page: what is said of each, and its values once they are unpacked.
// codes.py says how values become text.

const byId = (id) => document.getElementById(id);
const settings = JSON.parse(byId("settings").textContent);
const parts = [...document.querySelectorAll("script.map")];

/** A map of the page, ready to be asked. */
class ClassMap {
  constructor(record, bytes) {
    this.record = record;
    [this.rows, this.columns] = record.map;
    this.cells = this.rows * this.columns;
    this.classes = record.classes.map(([number, id, names, cells, best], index) =>
      ({ index, number, id, names, cells, best, rank: -1 }));
    const [mantissa, exponent, low, last] = record.step;
    Object.assign(this, { mantissa, exponent, low, last });
    this.first = Math.min(settings.first, record.classCount);
    this.signs = new Map(); // of each class asked for, whether it has both
    this.readArrays(new Reader(bytes));
    this.ranked = this.inOrder(this.classes.filter((each) => this.explained || each.cells));
    // As on the map's picture, the background takes no class's color.
    this.ranked.filter((each) => each.index !== record.background)
      .forEach((each, rank) => { each.rank = rank; });
    this.topCodes = Int32Array.from({ length: this.cells },
      (_, cell) => this.code(this.order[cell], cell));
  }

  /** What is said of each class where the map explains an answer; null for any other map. */
  get explained() { return this.record.explained; }

  /** Classes as they are listed: those explained as they were named. */
  inOrder(classes) {
    return [...classes].sort(this.explained ? (one, other) => one.index - other.index : foundFirst);
  }

  readArrays(reader) {
    const others = this.classes.length - this.record.shared;
    this.order = reader.numbers(Uint32Array, this.first * this.cells);
    const counts = reader.numbers(Uint32Array, others);
    this.starts = new Uint32Array(others + 1);
    counts.forEach((count, index) => { this.starts[index + 1] = this.starts[index] + count; });
    const total = this.starts[others];
    this.places = reader.numbers(Uint32Array, total);
    for (let index = 0; index < others; index++) {
      let place = -1;
      for (let at = this.starts[index]; at < this.starts[index + 1]; at++) {
        place += this.places[at];
        this.places[at] = place;
      }
    }
    const planes = reader.steps(this.record.shared * this.cells);
    this.sharedCodes = summed(planes, this.record.shared, this.rows, this.columns);
    this.otherCodes = reader.steps(total);
    this.otherCodes.forEach((step, at, codes) => { codes[at] = step + (at && codes[at - 1]); });
  }

  /** The code of a class's value in a cell, -1 where it is not kept. */
  code(index, cell) {
    const { shared } = this.record;
    if (index < shared) return this.sharedCodes[index * this.cells + cell];
    let low = this.starts[index - shared];
    let high = this.starts[index - shared + 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.places[middle] < cell) low = middle + 1;
      else high = middle;
    }
    const found = low < this.starts[index - shared + 1] && this.places[low] === cell;
    return found ? this.otherCodes[low] : -1;
  }

  /** The codes of a class in every cell. */
  codesOf(index) {
    const { shared } = this.record;
    if (index < shared) {
      return this.sharedCodes.subarray(index * this.cells, (index + 1) * this.cells);
    }
    const codes = new Int32Array(this.cells).fill(-1);
    for (let at = this.starts[index - shared]; at < this.starts[index - shared + 1]; at++) {
      codes[this.places[at]] = this.otherCodes[at];
    }
    return codes;
  }

  /** The likeliest classes of a cell, likeliest first: [index, code]. */
  likeliest(cell) {
    return Array.from({ length: this.first }, (_, rank) => {
      const index = this.order[rank * this.cells + cell];
      return [index, this.code(index, cell)];
    });
  }

  /** All classes kept of a cell, likeliest first: [index, code]. */
  kept(cell) {
    const first = this.likeliest(cell);
    const known = new Set(first.map(([index]) => index));
    const rest = this.classes
      .filter(({ index }) => !known.has(index))
      .map(({ index }) => [index, this.code(index, cell)])
      .filter(([, code]) => code >= 0)
      .sort((one, other) => other[1] - one[1]
        || this.classes[one[0]].number - this.classes[other[0]].number);
    return [...first, ...rest];
  }

  /** The value that a code stands for. */
  value(code) {
    if (code < 1) return -Infinity;
    if (code > this.last) return Infinity;
    const multiple = (code - 1 + this.low) * this.mantissa;
    const power = 10 ** Math.abs(this.exponent);
    return this.exponent < 0 ? multiple / power : multiple * power;
  }

  /** The code of the step next to a value. */
  codeNear(value) {
    const multiple = Math.round(value / (this.mantissa * 10 ** this.exponent));
    return Math.max(0, Math.min(this.last, multiple - this.low + 1));
  }

  /** A code's value from 0 for the lowest to 1 for the highest. */
  share(code) {
    if (this.last < 2) return 1;
    return Math.max(0, Math.min(1, (code - 1) / (this.last - 1)));
  }

  /** Whether there are values on both sides of 0. */
  get signed() { return this.value(1) < 0 && this.value(this.last) > 0; }

  /** Whether those of a class are: its picture has 0 in the middle of its colors then, too. */
  isSigned(index) {
    if (!this.signed) return false;
    if (!this.signs.has(index)) {
      const values = [...new Set(this.codesOf(index))].filter((code) => code >= 0)
        .map((code) => this.value(code));
      this.signs.set(index, values.some((value) => value < 0) && values.some((value) => value > 0));
    }
    return this.signs.get(index);
  }

  /** A code's value from 0 to 1 on a scale that has 0 in its middle. */
  signedShare(code) {
    const most = Math.max(-this.value(1), this.value(this.last));
    return (this.value(Math.max(1, Math.min(this.last, code))) / most + 1) / 2;
  }

  /** How long a code's bar is, 0 to 1: of an explanation from 0 on, which is no lowest value. */
  barOf(code) {
    return this.explained && this.signed ? Math.abs(2 * this.signedShare(code) - 1) : this.share(code);
  }

  /** The value as text, with the digits that the step has. */
  text(code) {
    const small = code === 1 && this.record.scored === "probability";
    return small ? `< ${this.digits(2)}` : this.digits(code);
  }

  digits(code) {
    const value = this.value(code);
    if (!Number.isFinite(value)) return value < 0 ? "\u2212\u221e" : "\u221e";
    const plain = this.exponent >= -9 && this.exponent <= 6;
    const text = plain ? value.toFixed(Math.max(0, -this.exponent)) : value.toPrecision(4);
    return text.replace("-", "\u2212");
  }

  /** What a class is called. */
  named(index) {
    const { names, number } = this.classes[index];
    return names || `class ${number}`;
  }

  row(cell) { return Math.floor(cell / this.columns); }

  column(cell) { return cell % this.columns; }

  /** A cell's window, or its tile, in pixels of the picture: x, y, width, height. */
  box(cell, kind) {
    const { stride, [kind]: [top, left], [`${kind}Size`]: [height, width] } = this.record.places;
    return [left + stride[1] * this.column(cell), top + stride[0] * this.row(cell), width, height];
  }

  /** The cell whose tile a place in the picture lies in, -1 for none. */
  cellAt(x, y) {
    const { tile, tileSize } = this.record.places;
    const column = Math.floor((x - tile[1]) / tileSize[1]);
    const row = Math.floor((y - tile[0]) / tileSize[0]);
    const inside = row >= 0 && row < this.rows && column >= 0 && column < this.columns;
    return inside ? row * this.columns + column : -1;
  }
}

/** Most cells first, then the best value, as in the table of classes. */
function foundFirst(one, other) {
  const best = ({ best }) => (best === null ? Infinity : best);
  return other.cells - one.cells || best(other) - best(one) || one.number - other.number;
}

/** Arrays of whole numbers, each as planes of bytes, lowest first. */
class Reader {
  constructor(bytes) { this.bytes = bytes; this.at = 0; }

  numbers(Kind, count) {
    const numbers = new Kind(count);
    for (let shift = 0; shift < 8 * Kind.BYTES_PER_ELEMENT; shift += 8) {
      for (let index = 0; index < count; index++) {
        numbers[index] |= this.bytes[this.at++] << shift;
      }
    }
    return numbers;
  }

  /** Differences out of zigzag, modulo 2^16. */
  steps(count) {
    return this.numbers(Uint16Array, count).map((step) => (step >> 1) ^ -(step & 1));
  }
}

/** The codes whose differences from above, and of these from the left, fill the planes. */
function summed(codes, planes, rows, columns) {
  for (let start = 0; start < planes * rows * columns; start += columns) {
    const first = start % (rows * columns) === 0;
    let across = 0;
    for (let at = start; at < start + columns; at++) {
      across += codes[at];
      codes[at] = across + (first ? 0 : codes[at - columns]);
    }
  }
  return codes;
}

/** The map of that place in the page. */
async function readMap(place) {
  const record = JSON.parse(parts[place].textContent);
  const text = atob(record.values);
  const packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  delete record.values;
  return new ClassMap(record, new Uint8Array(await new Response(stream).arrayBuffer()));
}
