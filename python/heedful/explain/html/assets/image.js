// The view of an image: its patches coloured by where a query looks, or by what all look at.

{
  const controls = element('div', {class: 'controls'});
  const others = element('div', {class: 'chips', role: 'group', 'aria-label': 'Queries'});
  const [scale, setScale] = legend();
  const frame = element('div', {class: 'image'});
  // by itself, to be seen at all, and in grey under the colour of the weights
  const picture = element('img', {src: data.image, alt: 'The image that the model saw'});
  const under = element('img', {src: data.image, alt: '', class: 'grey'});
  const status = element('div', {class: 'status', role: 'status'});
  scale.classList.add('pixels');
  view.append(controls, others, scale, element('div', {class: 'images'}, frame, picture), status);
  // small images in whole pixels, large ones smooth
  for (const image of [picture, under]) image.classList.toggle('pixelated', data.width < 200);
  frame.style.setProperty('--ratio', data.width / data.height);
  frame.style.setProperty('--columns', data.columns);

  const count = data.rows * data.columns;
  const names = Array.from({length: count}, (_, patch) =>
    `row ${Math.floor(patch / data.columns)}, column ${patch % data.columns}`);
  let heads = [], entry = null, query = null, before = 0, emphasised = false, patches = null;
  let kept = null;  // the button that is pressed

  const name = (index) => (index >= before ? names[index - before] : keyTokens()[index]);
  const keyTokens = () => data.texts[entry.keys];

  function draw() {
    const values = query === null ? received(heads) : meanRow(heads, query);
    paint(patches.options, values.slice(before), emphasised, maximum(values));
    setScale(percent(maximum(values)));
    const from = query === null ? ['The mean of all queries']
      : patchQueries() ? [query >= before ? `The patch in ${name(query)},` : label(name(query))]
        : [label(data.texts[entry.queries][query])];
    const labels = keyTokens().map((_, index) => name(index));
    status.replaceChildren(...from, ' looks at ', listing(values, labels, 6, (found) => {
      if (found >= before) patches.focus(found - before);
    }));
  }

  // Patches are queries in self-attention alone, of which the map has all rows.
  const patchQueries = () => isSelf(entry);

  function press(button, wanted) {
    if (kept) kept.setAttribute('aria-pressed', 'false');
    const again = kept === button;
    kept = again ? null : button;
    if (kept) kept.setAttribute('aria-pressed', 'true');
    query = again ? null : wanted;
  }

  function build() {
    before = keyTokens().length - count;
    query = kept = null;
    const within = patchQueries();
    patches = tokenList(names, 'Patches', {
      columns: data.columns,
      cell: (option, patch) => option.setAttribute('aria-label', names[patch]),
      looked(now) {
        if (!within) return;
        query = now === null ? (kept ? [...others.children].indexOf(kept) : null) : before + now;
        draw();
      },
    });
    patches.list.classList.add('patches');
    frame.replaceChildren(under, patches.list);
    const tokens = within ? keyTokens().slice(0, before) : data.texts[entry.queries];
    others.replaceChildren(...tokens.map((token, index) => {
      const button = element('button', {type: 'button', class: 'chip', 'aria-pressed': 'false'},
        label(token));
      button.addEventListener('click', () => {
        press(button, index);
        draw();
      });
      return button;
    }));
    others.hidden = !tokens.length;
    // such queries have little in common, so their mean says little
    if (!within && tokens.length) press(others.firstChild, 0);
  }

  let shown = null;
  layerAndHead(controls, (layer, chosen) => {
    heads = chosen;
    entry = data.layers[layer];
    if (shown !== `${entry.queries} ${entry.keys}`) build();
    shown = `${entry.queries} ${entry.keys}`;
    draw();
  });
  controls.append(tick('Emphasise small values', (on) => { emphasised = on; draw(); }));
}
