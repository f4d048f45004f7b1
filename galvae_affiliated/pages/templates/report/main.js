// Puts map, panels and controls together.

const OWN = { ids: 0, rows: 1, x: 2, y: 3, clean: 4, latents: 5 }; // places of blocks
const FEW = 500; // points that are shown as cutouts from the start
const byId = (id) => document.getElementById(id);

function askedColumn() { return columns[Number(byId('color').value)]; }

function fillColors() {
  const select = byId('color');
  columns.forEach((column, i) => {
    const option = element('option', select, column.name);
    option.value = i;
    option.title = column.text;
  });
  const first = columns.findIndex((column) => column.name.endsWith('_answer'));
  const other = columns.findIndex((column) => column.name.endsWith('_fraction'));
  select.value = Math.max(first >= 0 ? first : other, 0);
}

class Page {
  async start() {
    const [ids, rows, x, y, clean] = await Promise.all(
      [OWN.ids, OWN.rows, OWN.x, OWN.y, OWN.clean].map(block));
    this.ids = ids;
    this.rows = rows;
    clean.forEach((is, point) => { if (!is) flaggedPoints.add(point); });
    this.map = new LatentMap(byId('map'), x, y, Uint8Array.from(clean), {
      point: (point, isChosen) => this.pointAt(point, isChosen),
      leave: () => { byId('tip').hidden = true; },
      select: () => this.showSelection(),
    });
    byId('axes').textContent = `Across: ${about.axes[0]}. Up: ${about.axes[1]}. `
      + 'Hollow or with a dashed frame: rows with flags.';
    fillColors();
    this.listen();
    this.fillGalleries();
    if (columns.length) await colorBy(this.map, askedColumn(), byId('legend'));
    this.showSelection();
    await this.showDetail(-1);
    byId('status').textContent = '';
    document.body.dataset.ready = 'yes';
  }

  listen() {
    const { map } = this;
    byId('color').addEventListener('change', () => colorBy(map, askedColumn(), byId('legend')));
    byId('find').addEventListener('change', (event) => this.find(event.target.value.trim()));
    for (const mode of ['pan', 'lasso']) {
      byId(mode).addEventListener('click', () => {
        map.mode = mode;
        for (const one of ['pan', 'lasso']) {
          byId(one).setAttribute('aria-pressed', String(one === mode));
        }
      });
    }
    byId('in').addEventListener('click', () => map.zoom(1.5));
    byId('out').addEventListener('click', () => map.zoom(1 / 1.5));
    byId('home').addEventListener('click', () => map.home());
    byId('flagged').addEventListener('change', (event) => {
      map.withFlagged = event.target.checked;
      map.draw();
    });
    byId('cutoutslabel').hidden = !about.sheets;
    byId('cutouts').checked = Boolean(about.sheets) && about.n <= FEW;
    map.withCutouts = byId('cutouts').checked;
    byId('cutouts').addEventListener('change', (event) => {
      map.withCutouts = event.target.checked;
      map.draw();
    });
    byId('view').addEventListener('click', () => map.selectView());
    byId('clear').addEventListener('click', () => map.select([]));
    byId('save').addEventListener('click', async () => {
      saveFile('selection.csv', await selectionText(this.chosen(), this.ids, this.rows));
    });
  }

  chosen() {
    const points = [];
    this.map.selected.forEach((is, point) => { if (is) points.push(point); });
    return points;
  }

  find(text) {
    if (!text) return;
    let point = this.ids.indexOf(text);
    if (point < 0) point = this.ids.findIndex((id) => id.startsWith(text));
    byId('status').textContent = point < 0 ? `No identifier begins with ${text}.` : '';
    if (point >= 0) this.map.reveal(point);
  }

  async pointAt(point, isChosen) {
    const isSmall = window.matchMedia('(max-width: 60rem)').matches;
    // what is chosen is seen below the map there, and a finger does not go away
    await this.showTip(isChosen && isSmall ? -1 : point);
    if (isChosen && point >= 0) await this.showDetail(point);
  }

  async showTip(point) {
    const tip = byId('tip');
    this.tipOf = point;
    if (point < 0) { tip.hidden = true; return; }
    const column = askedColumn();
    const text = column ? `${column.name}: ${await column.format(point)}` : '';
    if (this.tipOf !== point) return; // the pointer is elsewhere by now
    tip.replaceChildren(...(about.sheets ? [picture(point)] : []));
    element('div', tip, this.ids[point]);
    element('div', tip, text, 'note');
    tip.hidden = false;
    const [sx, sy] = this.map.toScreen(point);
    const [width, height] = this.map.size;
    tip.style.left = `${sx + 16 + tip.offsetWidth > width ? Math.max(0, sx - 16
      - tip.offsetWidth) : sx + 16}px`;
    tip.style.top = `${Math.max(0, Math.min(sy - 20, height - tip.offsetHeight))}px`;
  }

  // The galaxy that was clicked: picture, what is similar, votes, all columns.
  async showDetail(point) {
    const parent = byId('detail');
    this.detailOf = point;
    if (point < 0) {
      parent.replaceChildren();
      element('p', parent, 'Point at a galaxy to see it; click it, or go to it with the arrow '
        + 'keys, for its votes, its columns and galaxies like it.', 'note');
      return;
    }
    const box = document.createDocumentFragment();
    element('h3', box, this.ids[point]);
    element('p', box, `row ${this.rows[point]}`, 'note');
    if (about.sheets) box.append(picture(point));
    if (about.reasons[point]) element('p', box, `Odd: ${about.reasons[point]}`);
    const button = element('button', box, 'Select or not');
    button.addEventListener('click', () => this.map.toggle(point));
    element('h3', box, 'Like this one');
    const gallery = element('div', box, undefined, 'gallery');
    const votes = about.questions.length ? element('h3', box, 'Predicted votes') : null;
    const bars = element('div', box, undefined, 'votes');
    if (votes) await fillVotes(bars, async (place) => (await columns[place].values())[point]);
    await this.fillValues(element('details', box), point);
    this.latents = this.latents || await coordinates(OWN.latents);
    if (this.detailOf !== point) return;
    fillGallery(gallery, nearest(point, this.latents, SIMILAR), this.ids, null,
      (other) => this.map.reveal(other));
    parent.replaceChildren(box);
    parent.scrollTop = 0;
  }

  async fillValues(parent, point) {
    element('summary', parent, 'All columns');
    const table = element('table', element('div', parent, undefined, 'wide'));
    for (const column of columns) {
      const line = element('tr', table);
      element('td', line, column.name).title = column.text;
      element('td', line, await column.format(point));
    }
  }

  async showSelection() {
    const points = this.chosen();
    byId('chosen').textContent = points.length ? `${points.length} selected.`
      : 'Nothing is selected: draw a lasso on the map, or press Enter at a galaxy.';
    for (const id of ['clear', 'save']) byId(id).disabled = !points.length;
    fillGallery(byId('selection'), points, this.ids, null, (point) => this.map.reveal(point));
    this.selectionOf = points;
    const bars = byId('selectionvotes');
    if (!points.length || !about.questions.length) { bars.replaceChildren(); return; }
    const everything = [...this.ids.keys()];
    const made = element('div');
    await fillVotes(made, (place) => mean(place, points), (place) => mean(place, everything));
    if (this.selectionOf !== points) return;
    bars.replaceChildren(...made.childNodes);
    bars.prepend(element('p', null, 'Means of the selection; marks: of all rows on the map.',
      'note'));
  }

  fillGalleries() {
    for (const gallery of about.galleries) {
      const section = element('section', byId('galleries'));
      element('h2', section, gallery.title);
      element('p', section, gallery.text, 'note');
      fillGallery(element('div', section, undefined, 'gallery'), gallery.points, this.ids,
        gallery.captions, (point) => {
          this.map.reveal(point);
          byId('explore').scrollIntoView();
        });
    }
  }
}

const page = new Page();
window.galvaeReport = page; // for who uses the console
page.start().catch((error) => {
  byId('status').textContent = `This page needs a newer browser (${error.message}).`;
  throw error;
});
