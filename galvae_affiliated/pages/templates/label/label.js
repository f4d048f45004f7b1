// Shows a galaxy, sends what is said of it, and shows the next one.

const token = new URLSearchParams(location.search).get('token');
const answers = JSON.parse(document.getElementById('answers').textContent);
const byId = (id) => document.getElementById(id);
const address = (path) => `/${path}?token=${encodeURIComponent(token)}`;

let shown = null; // what is looked at
let busy = false; // until the answer is kept

async function ask(path, body) {
  if (busy) return;
  busy = true;
  try {
    const options = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const response = await fetch(address(path), options);
    if (!response.ok) throw new Error(await response.text());
    show(await response.json());
    byId('message').textContent = '';
  } catch (error) {
    byId('message').textContent = `Not kept: ${error.message}. Is galvae label still running?`;
  } finally {
    busy = false;
  }
}

function show(state) {
  shown = state.shown;
  const counts = answers.map((answer) => `${state.counts[answer]} ${answer}`);
  const n = answers.reduce((sum, answer) => sum + state.counts[answer], 0);
  byId('counts').textContent = `${n} of ${state.rows} looked at: ${counts.join(', ')}.\n`
    + `It learns after ${state.until} more.`;
  for (const button of byId('buttons').children) button.disabled = !shown;
  byId('undo').disabled = n === 0;
  byId('name').textContent = shown ? shown.id : 'Nothing is left to look at.';
  byId('lines').textContent = shown ? shown.lines.join('\n') : '';
  byId('cutout').hidden = !shown;
  document.body.dataset.row = shown ? shown.row : '';
  if (!shown) return;
  byId('cutout').src = address(`cutout/${shown.row}`);
  byId('cutout').alt = `Cutout of ${shown.id}`;
  for (const row of state.ahead) new Image().src = address(`cutout/${row}`);
}

function say(answer) {
  if (shown) ask('answer', { row: shown.row, answer });
}

async function stop() {
  await ask('stop', {});
  document.body.dataset.row = '';
  byId('name').textContent = 'The scores are being written; this page can be closed.';
  for (const button of document.querySelectorAll('button')) button.disabled = true;
}

answers.forEach((answer, i) => {
  const button = document.createElement('button');
  const key = document.createElement('kbd');
  key.textContent = answer[0].toUpperCase();
  button.append(key, answer);
  button.title = `Key ${answer[0].toUpperCase()} or ${i + 1}`;
  button.addEventListener('click', () => say(answer));
  byId('buttons').append(button);
});
byId('undo').addEventListener('click', () => ask('undo', {}));
byId('stop').addEventListener('click', stop);
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  const answer = answers.find((one, i) => key === one[0] || key === String(i + 1));
  if (answer) say(answer);
  else if (key === 'u') ask('undo', {});
});
ask('next');
