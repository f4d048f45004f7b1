// What the page holds: blocks of numbers and texts, and sheets of pictures.

const about = JSON.parse(document.getElementById('about').textContent);

function bytesOf(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}

// Each block is undone when it is first asked for, and kept.
const blocks = new Map();

function block(place) {
  if (!blocks.has(place)) blocks.set(place, readBlock(place));
  return blocks.get(place);
}

async function readBlock(place) {
  const entry = about.blocks[place];
  const buffer = await inflate(bytesOf(`block-${place}`));
  if (entry.kind === 'text') return new TextDecoder().decode(buffer).split('\n');
  if (entry.kind === 'number') return numbers(entry, buffer);
  return new Uint8Array(buffer);
}

// Equal steps from the lowest to the highest value; the highest code is a missing one.
function numbers(entry, buffer) {
  const kinds = { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array };
  const codes = new kinds[entry.bits](buffer);
  const missing = 2 ** entry.bits - 1;
  const step = (entry.high - entry.low) / (missing - 1);
  const values = new Float64Array(codes.length);
  for (let i = 0; i < codes.length; i += 1) {
    values[i] = codes[i] === missing ? NaN : entry.low + codes[i] * step;
  }
  return values;
}

// A number with the digits that its steps allow, and a sign where the value may be beyond.
function formatNumber(value, entry) {
  if (Number.isNaN(value)) return 'masked';
  const step = (entry.high - entry.low) / (2 ** entry.bits - 2);
  const sign = !entry.cut ? '' : value <= entry.low ? '≤ ' : value >= entry.high ? '≥ ' : '';
  const size = Math.max(Math.abs(entry.low), Math.abs(entry.high));
  if (size > 0 && (size < 1e-3 || size >= 1e7)) return sign + value.toPrecision(4);
  const digits = step > 0 ? Math.min(6, Math.max(0, Math.ceil(-Math.log10(step)))) : 3;
  return sign + String(Number(value.toFixed(digits)));
}

class Column {
  constructor(entry) {
    this.name = entry.name;
    this.text = entry.text;
    this.unit = entry.unit;
    this.place = entry.place;
    this.about = about.blocks[entry.place];
    this.isNumber = this.about.kind === 'number';
  }

  values() { return block(this.place); }

  async format(point) {
    const value = (await this.values())[point];
    if (!this.isNumber) return value === 255 ? 'masked' : this.about.labels[value];
    return formatNumber(value, this.about) + (this.unit ? ` ${this.unit}` : '');
  }
}

const columns = about.columns.map((entry) => new Column(entry));

// Pictures come in sheets of a hundred; some decoded sheets are kept.
const sheets = new Map();
const MAX_SHEETS = 48;

function sheet(number) {
  if (sheets.has(number)) {
    const kept = sheets.get(number);
    sheets.delete(number);
    sheets.set(number, kept); // the last one used is the last to go
    return kept;
  }
  const made = createImageBitmap(new Blob([bytesOf(`sheet-${number}`)], { type: 'image/webp' }));
  sheets.set(number, made);
  if (sheets.size > MAX_SHEETS) {
    const [oldest, image] = sheets.entries().next().value;
    sheets.delete(oldest);
    image.then((bitmap) => setTimeout(() => bitmap.close(), 5000));
  }
  return made;
}

// A canvas with the picture of a point; black until ``drawn``, a promise, is kept.
function picture(point) {
  const canvas = document.createElement('canvas');
  if (!about.sheets) return canvas;
  const { side, perSide } = about.sheets;
  canvas.width = side;
  canvas.height = side;
  const place = point % (perSide * perSide);
  canvas.drawn = sheet(Math.floor(point / (perSide * perSide))).then((bitmap) => {
    canvas.getContext('2d').drawImage(bitmap, (place % perSide) * side,
      Math.floor(place / perSide) * side, side, side, 0, 0, side, side);
    canvas.isDrawn = true;
  });
  return canvas;
}

// Coordinates in which galaxies are compared, a byte each.
async function coordinates(place) {
  const { width, limit, scale } = about.blocks[place];
  const bytes = await block(place);
  const values = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i += 1) {
    values[i] = scale[i % width] * limit * (bytes[i] / 127.5 - 1);
  }
  return { width, values };
}

// The points nearest to one.
function nearest(point, latents, count) {
  const { width, values } = latents;
  const distances = new Float32Array(about.n);
  const start = point * width;
  for (let i = 0; i < about.n; i += 1) {
    let sum = 0;
    for (let j = 0; j < width; j += 1) {
      const difference = values[i * width + j] - values[start + j];
      sum += difference * difference;
    }
    distances[i] = sum;
  }
  const found = [];
  for (let i = 0; i < about.n; i += 1) {
    if (i === point) continue;
    if (found.length === count && distances[i] >= distances[found[count - 1]]) continue;
    let place = found.length;
    while (place > 0 && distances[found[place - 1]] > distances[i]) place -= 1;
    found.splice(place, 0, i);
    if (found.length > count) found.pop();
  }
  return found;
}
