// The model view: a picture of each head, a row for each layer; a click opens the head's lines.

{
  const overview = element('div', {class: 'overview'});
  const detail = element('section', {hidden: '', 'aria-label': 'Lines'});
  const heading = element('h2', {tabindex: -1});
  const back = element('button', {type: 'button'}, '← All heads');
  detail.append(element('div', {class: 'controls'}, back), heading);
  const note = element('p', {class: 'note'}, 'Queries go down, keys to the right; each row is '
    + 'coloured relative to its strongest key. Click a head to see its lines.');
  view.append(note, overview, detail);
  const lines = headView(detail, (layer, heads) => {
    const {name, heads: names} = data.layers[layer];
    const which = heads.length === 1 ? names[heads[0]] : `${heads.length} heads`;
    heading.replaceChildren(label(name), `, ${which}`);
  });
  const pictures = [];
  let opened = null;

  function open(layer, head, button) {
    opened = button;
    overview.hidden = note.hidden = true;
    detail.hidden = false;
    lines.show(layer, [head]).then(() => heading.focus());
  }
  function close() {
    detail.hidden = true;
    overview.hidden = note.hidden = false;
    opened.focus();
  }
  back.addEventListener('click', close);
  detail.addEventListener('keydown', (event) => { if (event.key === 'Escape') close(); });

  // Opacity is the weight: the colour of the page shows through where there is none.
  function draw() {
    const style = getComputedStyle(document.documentElement);
    const [red, green, blue] = style.getPropertyValue('--pixel').trim().split(/\s+/).map(Number);
    for (const {canvas, pixels, rows, columns} of pictures) {
      const picture = new ImageData(columns, rows);
      pixels.forEach((value, index) => picture.data.set([red, green, blue, value], 4 * index));
      canvas.getContext('2d').putImageData(picture, 0, 0);
    }
  }

  data.layers.forEach(({name, heads}, layer) => {
    const {rows, columns, pixels} = data.thumbnails[layer];
    const row = element('div', {class: 'row', role: 'group'});
    row.setAttribute('aria-label', `Layer ${visible(name)}`);
    heads.forEach((headName, head) => {
      const canvas = element('canvas', {width: columns, height: rows, 'aria-hidden': 'true'});
      pictures.push({canvas, rows, columns, pixels: bytes(pixels[head])});
      const button = element('button', {type: 'button', class: 'picture'}, canvas,
        element('span', {}, headName.replace(/^head /, '')));
      button.setAttribute('aria-label', `${visible(name)}, ${headName}`);
      button.title = `${visible(name)}, ${headName}`;
      button.addEventListener('click', () => open(layer, head, button));
      row.append(button);
    });
    overview.append(element('h2', {}, label(name)), row);
  });
  overview.addEventListener('keydown', (event) => {
    const buttons = [...overview.querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement);
    const across = buttons[at]?.parentElement.children.length;
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across}[event.key];
    if (step && buttons[at + step]) {
      buttons[at + step].focus();
      event.preventDefault();
    }
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  draw();
  view.setAttribute('aria-busy', 'false');
}
