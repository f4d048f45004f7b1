// Galleries, votes, the galaxy pointed at, and the legend. Texts are set as text, never as HTML.

const SHOWN = 60; // pictures of a gallery before one asks for more
const SIMILAR = 12;
const RARE = 0.1; // share of volunteers who are asked, below which a question means little
const LABELS = 9; // that have a colour of their own

function element(name, parent, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

const flaggedPoints = new Set();

// Buttons with pictures, with a dashed frame where a row has flags; ``choose`` is called with the
// point.
function fillGallery(parent, points, ids, captions, choose, from = 0) {
  if (!from) parent.replaceChildren();
  for (let i = from; i < Math.min(points.length, from + SHOWN); i += 1) {
    const isFlagged = flaggedPoints.has(points[i]);
    const button = element('button', parent, undefined, isFlagged ? 'flagged' : '');
    button.append(picture(points[i]));
    element('span', button, ids[points[i]]);
    if (captions && captions[i]) element('span', button, captions[i], 'note');
    button.title = `Show ${ids[points[i]]}`;
    button.addEventListener('click', () => choose(points[i]));
  }
  if (points.length > from + SHOWN) {
    const more = element('button', parent, `${points.length - from - SHOWN} more`);
    more.addEventListener('click', () => {
      more.remove();
      fillGallery(parent, points, ids, captions, choose, from + SHOWN);
    });
  }
}

// Bars of the answers of each question. ``value`` gives the number of a column.
async function fillVotes(parent, value, compared) {
  const made = [];
  for (const question of about.questions) {
    const box = element('div', null, undefined, 'question');
    const reach = question.reach === null ? NaN : await value(question.reach);
    const asked = Number.isNaN(reach) ? '' : `, ${Math.round(100 * reach)} % asked`;
    element('div', box, question.name + asked, 'note');
    if (reach < RARE) box.classList.add('rare');
    for (let i = 0; i < question.answers.length; i += 1) {
      const line = element('div', box, undefined, 'answer');
      element('span', line, question.answers[i]);
      const track = element('span', line, undefined, 'track');
      const share = await value(question.fractions[i]);
      element('i', track).style.width = `${100 * (share || 0)}%`;
      if (question.low[i] !== null && question.high[i] !== null) {
        const [low, high] = [await value(question.low[i]), await value(question.high[i])];
        const bar = element('b', track);
        bar.style.left = `${100 * low}%`;
        bar.style.width = `${100 * (high - low)}%`;
      }
      if (compared) {
        const all = await compared(question.fractions[i]);
        const mark = element('u', track);
        mark.style.left = `${100 * all}%`;
        mark.title = `all rows: ${all.toFixed(2)}`;
      }
      element('span', line, Number.isNaN(share) ? '' : share.toFixed(2), 'number');
    }
    made.push(box);
  }
  parent.replaceChildren(...made);
}

// Mean of a column over some points, masked ones left out.
async function mean(place, points) {
  const values = await columns[place].values();
  let [sum, n] = [0, 0];
  for (const point of points) {
    if (!Number.isNaN(values[point])) { sum += values[point]; n += 1; }
  }
  return n ? sum / n : NaN;
}

// Colours of all points by a column, and the legend that says so.
async function colorBy(map, column, legend) {
  const values = await column.values();
  legend.replaceChildren();
  if (column.isNumber) {
    const sorted = Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort();
    const low = sorted[Math.floor(0.01 * (sorted.length - 1))];
    const high = sorted[Math.ceil(0.99 * (sorted.length - 1))];
    for (let i = 0; i < values.length; i += 1) {
      const color = Number.isNaN(values[i]) ? MISSING : ramp((values[i] - low) / (high - low || 1));
      map.colors.set(color, 3 * i);
    }
    numberLegend(legend, column, low, high, sorted.length < values.length);
  } else {
    const color = (code) => (code === 255 ? MISSING : code < LABELS ? PALETTE[code] : OTHERS);
    for (let i = 0; i < values.length; i += 1) map.colors.set(color(values[i]), 3 * i);
    labelLegend(legend, column, values, color);
  }
  map.draw();
}

function numberLegend(legend, column, low, high, anyMissing) {
  element('span', legend, `${column.name}: ${formatNumber(low, column.about)}`);
  const bar = element('canvas', legend);
  bar.width = 128;
  bar.height = 1;
  const context = bar.getContext('2d');
  for (let i = 0; i < 128; i += 1) {
    context.fillStyle = `rgb(${ramp(i / 127).join(' ')})`;
    context.fillRect(i, 0, 1, 1);
  }
  element('span', legend, `${formatNumber(high, column.about)} ${column.unit}`);
  if (anyMissing) swatch(legend, MISSING, 'masked');
}

function swatch(legend, color, text) {
  const label = element('span', legend);
  element('span', label, undefined, 'swatch').style.background = `rgb(${color.join(' ')})`;
  label.append(text);
}

function labelLegend(legend, column, values, color) {
  const counts = new Map();
  for (const code of values) counts.set(code, (counts.get(code) || 0) + 1);
  const { labels } = column.about;
  labels.slice(0, LABELS).forEach((label, code) => {
    swatch(legend, color(code), `${label} ${counts.get(code) || 0}`);
  });
  if (labels.length > LABELS) swatch(legend, OTHERS, `${labels.length - LABELS} others`);
  if (counts.has(255)) swatch(legend, MISSING, 'masked');
}

// Comma-separated values, quoted where they have to be. A table program would take a text that
// begins with one of these signs for a formula.
function csvField(text) {
  const safe = /^[=@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

async function selectionText(points, ids, rows) {
  const sky = columns.filter((column) => ['ra', 'dec'].includes(
    column.name.toLowerCase().split('.').pop()) && column.isNumber).slice(0, 2);
  const head = ['row', ...(about.idName === 'row' ? [] : [about.idName]),
    ...sky.map((column) => column.name)];
  const lines = [head];
  for (const point of points) {
    const line = [rows[point]];
    if (about.idName !== 'row') line.push(ids[point]);
    for (const column of sky) {
      const value = (await column.values())[point];
      line.push(Number.isNaN(value) ? '' : value.toFixed(7));
    }
    lines.push(line);
  }
  return `${lines.map((line) => line.map(csvField).join(',')).join('\n')}\n`;
}

function saveFile(name, text) {
  const link = element('a', document.body);
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  link.download = name;
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
