// The head view: queries left, keys right, and between them a line for each of the strongest
// weights of the tokens in sight.

const SHADES = 16;  // of a line's opacity: lines of one shade are drawn in one stroke

// told(layer, heads) is called with the numbers of those that are shown, whenever they change.
function headView(place, told = () => {}) {
  const controls = element('div', {class: 'controls'});
  const chips = element('div', {class: 'chips', role: 'group', 'aria-label': 'Heads'});
  const columns = element('div', {class: 'columns'});
  const canvas = element('canvas', {role: 'img', 'aria-label': 'Lines from queries to keys'});
  const status = element('div', {class: 'status', role: 'status'});
  place.append(controls, chips, columns, status);

  let layer = 0, heads = [], on = [], lines = 8;
  let queries, keys, waiting = false, active = null;
  let query = null, key = null, latest = 'query';  // looked at, and on which side last

  function colour(head, alpha) {
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    const count = data.layers[layer].heads.length;
    // equally light to the eye, so that no head hides the others; neighbours differ a little
    const light = (dark ? 74 : 52) + (head % 2 ? 4 : -4);
    return `oklch(${light}% 0.17 ${(45 + 360 * head / count) % 360} / ${alpha})`;
  }

  function later() {
    if (!waiting) requestAnimationFrame(() => { waiting = false; draw(); });
    waiting = true;
  }

  // The first and the last row in sight, and where a row's middle is on the canvas.
  function range(list, count) {
    const height = list.firstElementChild.offsetHeight, top = list.scrollTop;
    return {
      begin: Math.max(0, Math.floor(top / height)),
      end: Math.min(count, Math.ceil((top + list.clientHeight) / height)),
      middle: (row) => (row + 0.5) * height - top,
    };
  }

  function draw() {
    if (!heads.length || !canvas.isConnected) return;
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    pen.lineWidth = 1.5;
    const left = range(queries.list, heads[0].queries), right = range(keys.list, heads[0].keys);
    const half = width / 2;
    const shades = Array.from({length: SHADES}, () => heads.map(() => []));
    heads.forEach((weights, head) => {
      if (!on[head]) return;
      const add = (from, to, alpha) => {
        shades[Math.min(SHADES - 1, Math.floor(alpha * SHADES))][head].push(from, to);
      };
      if (byQuery()) {
        const row = weights.row(query), limit = maximum(row);
        for (const to of strongest(row, 64)) add(query, to, row[to] / limit);
      } else if (key !== null) {
        const column = weights.column(key), limit = maximum(column);
        for (const from of strongest(column, 64)) add(from, key, column[from] / limit);
      } else {
        for (let from = left.begin; from < left.end; from++) {
          const row = weights.row(from);
          for (const to of strongest(row, lines)) {
            // lines that lead out of sight would be a thicket
            add(from, to, row[to] * (to >= right.begin && to < right.end ? 1 : 0.3));
          }
        }
      }
    });
    let drawn = 0;
    // faint lines first, so that strong ones of every head lie on top
    shades.forEach((byHead, shade) => byHead.forEach((pairs, head) => {
      if (!pairs.length) return;
      pen.strokeStyle = colour(head, (shade + 1) / SHADES);
      pen.beginPath();
      for (let pair = 0; pair < pairs.length; pair += 2) {
        const start = left.middle(pairs[pair]), end = right.middle(pairs[pair + 1]);
        pen.moveTo(0, start);
        pen.bezierCurveTo(half, start, half, end, width, end);
      }
      pen.stroke();
      drawn += pairs.length / 2;
    }));
    canvas.dataset.lines = drawn;  // what a test can see of a canvas
  }

  const byQuery = () => query !== null && (key === null || latest === 'query');
  const shown = () => heads.filter((_, head) => on[head]);

  function look() {
    const chosen = shown();
    if (!chosen.length) {
      paint(queries.options, []);
      paint(keys.options, []);
      status.textContent = 'No head is chosen.';
    } else if (byQuery()) {
      const row = meanRow(chosen, query);
      paint(queries.options, []);
      paint(keys.options, row);
      tell(queries, query, 'looks at', row, keys);
    } else if (key !== null) {
      const column = meanColumn(chosen, key);
      paint(queries.options, column);
      paint(keys.options, []);
      tell(keys, key, 'is looked at by', column, queries);
    } else {
      paint(queries.options, []);
      paint(keys.options, []);
      status.textContent =
        'Point at a token on either side to see its weights; click to keep it, Escape to let go.';
    }
    later();
  }

  function tell(from, index, verb, values, column) {
    status.replaceChildren(label(from.tokens[index]),
      element('small', {}, ` ${from.positions[index]} `), `${verb} `,
      listing(values, column.tokens, 8, (found) => column.focus(found), column.positions));
  }

  // In a long text the strongest key may be far out of sight.
  function revealBest(column, values) {
    const [index] = shown().length ? strongest(values(shown()), 1) : [];
    if (index === undefined) return;
    const option = column.options[index], list = column.list;
    const above = option.offsetTop - list.scrollTop;
    if (above < 0 || above + option.offsetHeight > list.clientHeight) {
      list.scrollTop = option.offsetTop - list.clientHeight / 2;
    }
  }

  function build() {
    const entry = data.layers[layer];
    query = key = null;
    queries = tokenList(data.texts[entry.queries], 'Queries', {
      vertical: true,
      positions: entry.rows,
      looked(now) { query = now; latest = 'query'; look(); },
      chose(now) { revealBest(keys, (heads) => meanRow(heads, now)); },
    });
    keys = tokenList(data.texts[entry.keys], 'Keys', {
      vertical: true,
      looked(now) { key = now; latest = 'key'; look(); },
      chose(now) { revealBest(queries, (heads) => meanColumn(heads, now)); },
    });
    queries.list.classList.add('queries');
    columns.replaceChildren(element('div', {class: 'head'}, 'Queries'), element('div', {}),
      element('div', {class: 'head'}, 'Keys'), queries.list, canvas, keys.list);
    // columns of the same text move together; the one that the reader holds leads
    const together = isSelf(entry);
    for (const [one, other] of [[queries.list, keys.list], [keys.list, queries.list]]) {
      for (const kind of ['pointerenter', 'focusin', 'touchstart']) {
        one.addEventListener(kind, () => { active = one; }, {passive: true});
      }
      one.addEventListener('scroll', () => {
        if (together && active === one) other.scrollTop = one.scrollTop;
        later();
      });
    }
  }

  canvas.addEventListener('wheel', (event) => {
    active = null;
    for (const {list} of [queries, keys]) list.scrollTop += event.deltaY;
    event.preventDefault();
  }, {passive: false});
  new ResizeObserver(later).observe(columns);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    fillChips();
    later();
  });

  function fillChips() {
    const names = data.layers[layer].heads;
    const all = element('button', {type: 'button', class: 'all'}, 'all');
    const none = element('button', {type: 'button', class: 'all'}, 'none');
    all.addEventListener('click', () => setAll(true));
    none.addEventListener('click', () => setAll(false));
    chips.replaceChildren(...(names.length > 1 ? [all, none] : []), ...names.map((name, head) => {
      const chip = element('button', {type: 'button', class: 'chip', 'aria-pressed': on[head]},
        name.replace(/^head /, ''));
      chip.setAttribute('aria-label', name);
      chip.title = `${name}: click to show or hide, double-click to show it alone`;
      chip.style.setProperty('--chip', colour(head, 1));
      chip.addEventListener('click', () => set(head, !on[head]));
      chip.addEventListener('dblclick', () => { on = on.map((_, other) => other === head); sync(); });
      return chip;
    }));
  }
  function sync() {
    chips.querySelectorAll('.chip').forEach((chip, head) => {
      chip.setAttribute('aria-pressed', on[head]);
    });
    changed();
  }
  function changed() {
    told(layer, [...on.keys()].filter((head) => on[head]));
    look();
  }
  function set(head, value) { on[head] = value; sync(); }
  function setAll(value) { on = on.map(() => value); sync(); }

  async function show(wantedLayer, wantedHeads) {
    view.setAttribute('aria-busy', 'true');
    layer = wantedLayer;
    layerSelect.value = layer;
    const found = await headsOf(layer);
    if (layer !== wantedLayer) return;  // another choice was made meanwhile
    heads = found;
    on = heads.map((_, head) => !wantedHeads || wantedHeads.includes(head));
    build();
    fillChips();
    changed();
    view.setAttribute('aria-busy', 'false');
  }

  const [layerLabel, layerSelect] =
    choice('Layer', data.layers.map(({name}) => visible(name)), (index) => show(index, null));
  layerLabel.hidden = data.layers.length < 2;
  const slider = element('input', {type: 'range', min: 1, max: 64, value: lines});
  const count = element('output', {}, String(lines));
  slider.addEventListener('input', () => {
    lines = Number(slider.value);
    count.textContent = lines;
    later();
  });
  controls.append(layerLabel, element('label', {}, 'Lines per token and head ', slider, ' ', count));
  return {show};
}
