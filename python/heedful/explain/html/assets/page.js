// What all views share: the data of the page, weights of a head, controls, colours.

const data = JSON.parse(document.getElementById('data').textContent);
const view = document.getElementById('view');

// What goes wrong is said in the page: an empty one would leave the reader to guess.
for (const kind of ['error', 'unhandledrejection']) {
  addEventListener(kind, (event) => {
    view.prepend(element('p', {role: 'alert'},
      `This browser cannot draw the page: ${event.reason ?? event.message}`));
    view.setAttribute('aria-busy', 'false');
  });
}

// An element; children that are strings become text, never markup.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A token as it can be seen: control characters as their pictures, no empty label.
function visible(token) {
  const shown = token.replace(/[\u0000-\u001f\u007f]/g,
    (c) => String.fromCharCode(c === '\u007f' ? 0x2421 : 0x2400 + c.charCodeAt(0)));
  if (shown === '') return '∅';
  return shown.trim() === '' ? '␣'.repeat(Math.min(shown.length, 8)) : shown;
}

// bdi keeps right-to-left text, and characters that change the direction, within the token.
const label = (token) => element('bdi', {}, visible(token));

function percent(weight) {
  const value = 100 * weight;
  return (value >= 9.95 ? value.toFixed(0) : value >= 0.095 ? value.toFixed(1)
    : value > 0 ? '< 0.1' : '0') + ' %';
}

// Weights of one head, see _quantised.py: w[q, k] = maximum[q] · (code[q, k] / 255)².
class Weights {
  constructor(buffer, queries, keys) {
    this.queries = queries;
    this.keys = keys;
    this.maxima = new Float32Array(buffer, 0, queries);
    this.codes = new Uint8Array(buffer, 4 * queries);
  }

  row(query, sums = new Float64Array(this.keys), share = 1) {
    const begin = query * this.keys, factor = share * this.maxima[query] / 65025;
    for (let key = 0; key < this.keys; key++) {
      const code = this.codes[begin + key];
      sums[key] += factor * code * code;
    }
    return sums;
  }

  column(key, sums = new Float64Array(this.queries), share = 1) {
    for (let query = 0; query < this.queries; query++) {
      const code = this.codes[query * this.keys + key];
      sums[query] += share * this.maxima[query] / 65025 * code * code;
    }
    return sums;
  }
}

function bytes(base64) {
  const text = atob(base64), found = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) found[index] = text.charCodeAt(index);
  return found;
}

async function inflated(base64) {
  const stream = new Blob([bytes(base64)]).stream();
  return new Response(stream.pipeThrough(new DecompressionStream('deflate'))).arrayBuffer();
}

// The heads of one layer at a time: those of the others would fill the memory.
let held = {layer: -1, heads: []};

async function headsOf(layer) {
  if (held.layer !== layer) {
    const {queries, keys, heads} = data.layers[layer];
    const found = [];
    for (let head = 0; head < heads.length; head++) {
      const text = document.getElementById(`weights-${layer}-${head}`).textContent;
      found.push(new Weights(await inflated(text),
        data.texts[queries].length, data.texts[keys].length));
    }
    held = {layer, heads: found};
  }
  return held.heads;
}

// Means over some heads: of the weights of a query, or to a key, or that each key receives.
function meanRow(heads, query) {
  const sums = new Float64Array(heads[0].keys);
  for (const head of heads) head.row(query, sums, 1 / heads.length);
  return sums;
}

function meanColumn(heads, key) {
  const sums = new Float64Array(heads[0].queries);
  for (const head of heads) head.column(key, sums, 1 / heads.length);
  return sums;
}

function received(heads) {
  const sums = new Float64Array(heads[0].keys);
  for (const head of heads) {
    for (let query = 0; query < head.queries; query++) {
      head.row(query, sums, 1 / (heads.length * head.queries));
    }
  }
  return sums;
}

function maximum(values) {
  let found = 0;
  for (const value of values) found = Math.max(found, Math.abs(value));
  return found;
}

// Indices of the `count` largest values that are not 0, the largest first.
function strongest(values, count) {
  const found = [];
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value <= 0 || (found.length === count && value <= values[found[count - 1]])) continue;
    let place = found.length;
    while (place && values[found[place - 1]] < value) place--;
    found.splice(place, 0, index);
    if (found.length > count) found.pop();
  }
  return found;
}

// The colours of elements: the share of the largest value is the opacity (see .heat in page.css).
function paint(cells, values, emphasised, limit = maximum(values)) {
  for (let index = 0; index < cells.length; index++) {
    const share = limit && values.length ? Math.abs(values[index]) / limit : 0;
    const sign = values[index] < 0 ? '-' : '';
    const wanted = sign + (emphasised ? Math.sqrt(share) : share).toFixed(3);
    if (wanted === cells[index].painted) continue;  // most of a long text stays at 0
    cells[index].painted = wanted;
    cells[index].classList.toggle('negative', sign !== '');
    cells[index].style.setProperty('--share', wanted.slice(sign.length));
  }
}

function choice(name, options, changed) {
  const select = element('select', {});
  options.forEach((option, index) => select.append(element('option', {value: index}, option)));
  select.addEventListener('change', () => changed(Number(select.value)));
  return [element('label', {}, name + ' ', select), select];
}

function tick(name, changed) {
  const box = element('input', {type: 'checkbox'});
  box.addEventListener('change', () => changed(box.checked));
  return element('label', {}, box, ' ' + name);
}

// Layers and heads as choices that the views of tokens and of images begin with.
// changed(layer, heads) gets the number of the layer and the weights of the heads that are chosen.
function layerAndHead(controls, changed) {
  let layer = 0, head = 0;
  const [headLabel, headSelect] = choice('Head', [], (index) => { head = index; update(); });
  function fillHeads() {
    const names = data.layers[layer].heads;
    const options = names.length > 1 ? ['mean of heads', ...names] : names;
    headSelect.replaceChildren(
      ...options.map((option, index) => element('option', {value: index}, option)));
    headLabel.hidden = options.length < 2;
    head = Math.min(head, options.length - 1);
    headSelect.value = head;
  }
  async function update() {
    view.setAttribute('aria-busy', 'true');
    const [asked, wanted] = [layer, head];
    const heads = await headsOf(layer);
    if (asked !== layer || wanted !== head) return;  // another choice was made meanwhile
    changed(layer, heads.length === 1 || !head ? heads : [heads[head - 1]]);
    view.setAttribute('aria-busy', 'false');
  }
  if (data.layers.length > 1) {
    controls.append(choice('Layer', data.layers.map(({name}) => visible(name)), (index) => {
      layer = index;
      fillHeads();
      update();
    })[0]);
  }
  controls.append(headLabel);
  fillHeads();
  return update();
}

// A scale of the colours from 0, or from −limit if there are values below 0, to the limit.
function legend() {
  const begin = element('span', {}), end = element('span', {});
  const ramp = element('span', {class: 'ramp', 'aria-hidden': 'true'});
  const show = (text, signed = false) => {
    begin.textContent = signed ? `−${text}` : '0';
    end.textContent = text;
    ramp.classList.toggle('signed', signed);
  };
  return [element('div', {class: 'legend'}, begin, ramp, end), show];
}

// Whether queries and keys are the same tokens, as in a map of all rows of self-attention.
const isSelf = ({queries, keys, rows}) =>
  queries === keys && rows.every((row, index) => row === index);

// The strongest of some weights, as buttons: "cat 3 41 %"; without positions "cat 41 %".
function listing(values, tokens, count, chosen, positions) {
  const list = element('ol', {class: 'strongest'});
  for (const index of strongest(values, count)) {
    const item = element('button', {type: 'button'}, label(tokens[index]),
      element('small', {}, positions ? ` ${positions[index]}` : ''), ' ', element('b', {}, percent(values[index])));
    item.addEventListener('click', () => chosen(index));
    list.append(element('li', {}, item));
  }
  return list;
}
