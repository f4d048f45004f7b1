// The map: points on a canvas, with zoom, lasso, touch and keys.

const VIRIDIS = ['440154', '482878', '3e4989', '31688e', '26828e', '1f9e89', '35b779', '6ece58',
  'b5de2b', 'fde725'].map(rgb);
const PALETTE = ['4e9fe5', 'ff9d3b', '5fc46b', 'e5625e', 'b58ee0', 'c58d6b', 'f08fce', 'd8d84a',
  '4fcbd1', '9aa5b8'].map(rgb);
const MISSING = rgb('5a6170');
const OTHERS = rgb('7d8594');
const SELECTED = rgb('ffb454');
const CELL = 54; // pixels of the screen for one cutout on the map
const MAX_CUTOUTS = 1500; // that are kept

function rgb(hex) {
  return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function ramp(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[low].map((value, i) => Math.round(value + (place - low)
    * (VIRIDIS[low + 1][i] - value)));
}

class LatentMap {
  constructor(canvas, x, y, clean, events) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.x = x;
    this.y = y;
    this.clean = clean; // 0 in rows with flags
    this.events = events; // point(point, isChosen), select(points)
    this.colors = new Uint8Array(3 * x.length).fill(160);
    this.selected = new Uint8Array(x.length);
    this.withFlagged = true;
    this.withCutouts = false;
    this.cutouts = new Map();
    this.mode = 'pan';
    this.point = -1;
    this.lasso = [];
    this.pointers = new Map();
    this.home();
    this.listen();
    new ResizeObserver(() => (this.isHome ? this.home() : this.draw())).observe(canvas);
  }

  get size() { return [this.canvas.clientWidth || 1, this.canvas.clientHeight || 1]; }

  home() {
    const range = (values) => {
      let [low, high] = [Infinity, -Infinity];
      for (const value of values) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
      return [low, high];
    };
    const [x0, x1] = range(this.x);
    const [y0, y1] = range(this.y);
    const [width, height] = this.size;
    this.center = [(x0 + x1) / 2, (y0 + y1) / 2];
    this.scale = 0.94 * Math.min(width / (x1 - x0 || 1), height / (y1 - y0 || 1));
    this.homeScale = this.scale;
    this.isHome = true;
    this.draw();
  }

  // The size is asked for once where many points are looked at: it costs a layout each time.
  toScreen(point, [width, height] = this.size) {
    return [width / 2 + (this.x[point] - this.center[0]) * this.scale,
      height / 2 - (this.y[point] - this.center[1]) * this.scale];
  }

  isShown(point) { return this.withFlagged || this.clean[point]; }

  zoom(factor, at) {
    const [width, height] = this.size;
    const [sx, sy] = at || [width / 2, height / 2];
    const scale = Math.min(Math.max(this.scale * factor, this.homeScale / 2),
      this.homeScale * 5000);
    const shift = 1 / this.scale - 1 / scale;
    this.center = [this.center[0] + (sx - width / 2) * shift,
      this.center[1] - (sy - height / 2) * shift];
    this.scale = scale;
    this.isHome = false;
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = this.size;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    const image = this.context.createImageData(w, h);
    const anySelected = this.selected.includes(1);
    const zoomed = this.scale / this.homeScale;
    const usual = this.x.length > 20000 ? 1.5 : this.x.length > 2000 ? 2.5 : 4;
    const side = Math.round(ratio * Math.min(usual * Math.sqrt(zoomed), 8));
    for (const wanted of anySelected ? [0, 1] : [0]) { // what is selected lies above
      for (let i = 0; i < this.x.length; i += 1) {
        if (this.selected[i] !== wanted || !this.isShown(i)) continue;
        const px = Math.round(w / 2 + (this.x[i] - this.center[0]) * this.scale * ratio);
        const py = Math.round(h / 2 - (this.y[i] - this.center[1]) * this.scale * ratio);
        this.square(image, px, py, side, i, anySelected && !wanted);
      }
    }
    this.context.putImageData(image, 0, 0);
    this.paintOver(ratio);
  }

  // A square of the point's colour; hollow for rows with flags, dim if others are selected.
  square(image, px, py, side, point, dim) {
    const { data, width, height } = image;
    const [x0, y0] = [px - (side >> 1), py - (side >> 1)];
    if (x0 < 0 || y0 < 0 || x0 + side > width || y0 + side > height) return;
    const hollow = !this.clean[point] && side > 3;
    for (let dy = 0; dy < side; dy += 1) {
      for (let dx = 0; dx < side; dx += 1) {
        if (hollow && dx > 0 && dy > 0 && dx < side - 1 && dy < side - 1) continue;
        const place = 4 * ((y0 + dy) * width + x0 + dx);
        for (let c = 0; c < 3; c += 1) {
          const value = this.colors[3 * point + c];
          data[place + c] = dim ? 0.35 * value : value;
        }
        data[place + 3] = 255;
      }
    }
  }

  paintOver(ratio) {
    const { context } = this;
    context.save();
    context.scale(ratio, ratio);
    if (this.withCutouts) this.paintCutouts();
    if (this.point >= 0) {
      const [sx, sy] = this.toScreen(this.point);
      context.strokeStyle = '#fff';
      context.lineWidth = 2;
      context.beginPath();
      context.arc(sx, sy, this.withCutouts ? CELL / 2 : 8, 0, 7);
      context.stroke();
    }
    if (this.lasso.length > 1) {
      context.strokeStyle = `rgb(${SELECTED.join(' ')})`;
      context.lineWidth = 1.5;
      context.beginPath();
      this.lasso.forEach(([sx, sy], i) => (i ? context.lineTo(sx, sy) : context.moveTo(sx, sy)));
      context.closePath();
      context.stroke();
    }
    context.restore();
  }

  // Cutouts at their places, one a cell, with a frame of the point's colour.
  paintCutouts() {
    const [width, height] = this.size;
    const chosen = new Map();
    for (let i = 0; i < this.x.length; i += 1) {
      if (!this.isShown(i)) continue;
      const [sx, sy] = this.toScreen(i, [width, height]);
      if (sx < 0 || sy < 0 || sx > width || sy > height) continue;
      const cell = Math.floor(sx / CELL) * 10000 + Math.floor(sy / CELL);
      if (!chosen.has(cell)) chosen.set(cell, [i, sx, sy]);
    }
    const side = CELL - 8;
    for (const [point, sx, sy] of chosen.values()) {
      const cutout = this.cutout(point);
      if (!cutout.isDrawn) {
        cutout.drawn.then(() => this.draw());
        continue;
      }
      this.context.drawImage(cutout, sx - side / 2, sy - side / 2, side, side);
      const color = this.selected[point] ? SELECTED : this.colors.slice(3 * point, 3 * point + 3);
      this.context.strokeStyle = `rgb(${color.join(' ')})`;
      this.context.lineWidth = this.selected[point] ? 3 : 1.5;
      this.context.setLineDash(this.clean[point] ? [] : [3, 3]);
      this.context.strokeRect(sx - side / 2, sy - side / 2, side, side);
    }
    this.context.setLineDash([]);
  }

  cutout(point) {
    if (!this.cutouts.has(point)) {
      if (this.cutouts.size > MAX_CUTOUTS) this.cutouts.clear();
      this.cutouts.set(point, picture(point));
    }
    return this.cutouts.get(point);
  }

  // The point nearest to a place on the screen, -1 if none is within a distance.
  at(sx, sy, within) {
    let [best, least] = [-1, within * within];
    const { size } = this;
    for (let i = 0; i < this.x.length; i += 1) {
      if (!this.isShown(i)) continue;
      const [px, py] = this.toScreen(i, size);
      const distance = (px - sx) ** 2 + (py - sy) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  go(point, isChosen = false) {
    if (point === this.point && !isChosen) return;
    this.point = point;
    this.draw();
    this.events.point(point, isChosen);
  }

  // Move the view so that a point is in it.
  reveal(point) {
    const [sx, sy] = this.toScreen(point);
    const [width, height] = this.size;
    if (sx < 10 || sy < 10 || sx > width - 10 || sy > height - 10) {
      this.center = [this.x[point], this.y[point]];
      this.isHome = false;
    }
    this.go(point, true);
  }

  select(points, keepOld) {
    if (!keepOld) this.selected.fill(0);
    for (const point of points) this.selected[point] = 1;
    this.draw();
    this.events.select();
  }

  toggle(point) {
    this.selected[point] = 1 - this.selected[point];
    this.draw();
    this.events.select();
  }

  selectView() {
    const [width, height] = this.size;
    const found = [];
    for (let i = 0; i < this.x.length; i += 1) {
      const [sx, sy] = this.toScreen(i, [width, height]);
      if (sx >= 0 && sy >= 0 && sx <= width && sy <= height && this.isShown(i)) found.push(i);
    }
    this.select(found);
  }

  selectLasso(keepOld) {
    const line = this.lasso;
    this.lasso = [];
    const found = [];
    const { size } = this;
    for (let i = 0; i < this.x.length; i += 1) {
      if (this.isShown(i) && isInside(this.toScreen(i, size), line)) found.push(i);
    }
    this.select(found, keepOld);
  }

  // The nearest point whose direction is within 45 degrees of an arrow.
  step(dx, dy) {
    if (this.point < 0) {
      const [width, height] = this.size;
      this.go(this.at(width / 2, height / 2, 1e9), true);
      return;
    }
    const [sx, sy] = this.toScreen(this.point);
    let [best, least] = [-1, Infinity];
    const { size } = this;
    for (let i = 0; i < this.x.length; i += 1) {
      if (i === this.point || !this.isShown(i)) continue;
      const [px, py] = this.toScreen(i, size);
      const along = (px - sx) * dx + (py - sy) * dy;
      const across = Math.abs((px - sx) * dy) + Math.abs((py - sy) * dx);
      if (along <= 0 || across > along) continue;
      const distance = along ** 2 + 4 * across ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    if (best >= 0) this.reveal(best);
  }

  listen() {
    const { canvas } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left - canvas.clientLeft,
        event.clientY - box.top - canvas.clientTop];
    };
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      this.moved = this.pointers.size > 1;
      this.lasso = this.mode === 'lasso' && this.pointers.size === 1 ? [place(event)] : [];
    });
    canvas.addEventListener('pointermove', (event) => {
      if (this.pointers.has(event.pointerId)) this.drag(event.pointerId, place(event));
      else this.go(this.at(...place(event), 12));
    });
    const end = (event) => {
      if (!this.pointers.delete(event.pointerId)) return;
      if (this.pointers.size) return;
      if (this.lasso.length > 2) this.selectLasso(event.shiftKey);
      else if (!this.moved && event.type === 'pointerup') {
        const within = event.pointerType === 'mouse' ? 12 : 24;
        const point = this.at(...place(event), within);
        if (point >= 0 && (event.shiftKey || event.ctrlKey)) this.toggle(point);
        this.go(point, true);
      }
      this.lasso = [];
      this.draw();
    };
    for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, end);
    canvas.addEventListener('pointerleave', () => this.events.leave());
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), place(event));
    }, { passive: false });
    canvas.addEventListener('keydown', (event) => this.key(event));
  }

  drag(id, now) {
    const before = this.pointers.get(id);
    if (Math.hypot(now[0] - before[0], now[1] - before[1]) > 2) this.moved = true;
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, value]) => value);
      const length = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
      this.lasso = [];
      this.zoom(length(now) / (length(before) || 1), other);
    } else if (this.mode === 'lasso') {
      this.lasso.push(now);
      this.draw();
      return this.pointers.set(id, now);
    } else if (this.moved) {
      this.center = [this.center[0] - (now[0] - before[0]) / this.scale,
        this.center[1] + (now[1] - before[1]) / this.scale];
      this.isHome = false;
      this.draw();
    } else return this.pointers;
    return this.pointers.set(id, now);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const others = {
      '+': () => this.zoom(1.5, this.point >= 0 ? this.toScreen(this.point) : null),
      '-': () => this.zoom(1 / 1.5),
      0: () => this.home(),
      a: () => this.selectView(),
      Enter: () => this.point >= 0 && this.toggle(this.point),
      ' ': () => this.point >= 0 && this.toggle(this.point),
      Escape: () => this.select([]),
    };
    others['='] = others['+'];
    if (event.key in arrows) this.step(...arrows[event.key]);
    else if (event.key in others) others[event.key]();
    else return;
    event.preventDefault();
  }
}

// Whether a place lies within a closed line, by the number of crossings.
function isInside([x, y], line) {
  let inside = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i, i += 1) {
    const [[xi, yi], [xj, yj]] = [line[i], line[j]];
    if ((yi > y) !== (yj > y) && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}
