// The view of tokens: a text coloured by scores, or by where the token looks that is pointed at.

{
  const controls = element('div', {class: 'controls'});
  const texts = element('div', {class: 'texts'});
  const [scale, setScale] = legend();
  const status = element('div', {class: 'status', role: 'status'});
  view.append(controls, scale, texts, status);
  let heads = [], queries = null, keys = null, same = true, emphasised = false;
  let query = null, key = null, latest = 'query';  // looked at, and on which side last

  function block(tokens, name, looked, positions) {
    const made = tokenList(tokens, name, {looked, positions});
    made.list.classList.add('text');
    texts.append(...(same ? [] : [element('h2', {}, name)]), made.list);
    return made;
  }

  function draw() {
    const byQuery = query !== null && (key === null || latest === 'query');
    if (byQuery && heads.length) {
      const row = meanRow(heads, query);
      if (!same) paint(queries.options, [], emphasised);
      show(keys, row, 'looks at', queries, query);
    } else if (key !== null && heads.length && !same) {
      paint(keys.options, [], emphasised);
      show(queries, meanColumn(heads, key), 'is looked at by', keys, key);
    } else {
      if (!same) paint(queries.options, [], emphasised);
      const given = data.scores && data.scores.length === keys.tokens.length;
      const scores = given ? data.scores : received(heads);
      paint(keys.options, scores, emphasised);
      const limit = maximum(scores);
      setScale(given ? limit.toPrecision(3) : percent(limit), scores.some((score) => score < 0));
      const at = query ?? key;
      if (at !== null) {
        status.replaceChildren(label(keys.tokens[at]), `: score ${scores[at].toPrecision(3)}`);
      } else {
        status.textContent = (given ? 'Coloured by score.'
          : 'Coloured by the attention that a token receives, the mean over all queries.')
          + (heads.length ? ' Point at a token to see where it looks; click to keep it.' : '');
      }
    }
  }

  function show(block, values, verb, from, index) {
    paint(block.options, values, emphasised);
    setScale(percent(maximum(values)));
    status.replaceChildren(label(from.tokens[index]),
      element('small', {}, ` ${from.positions[index]} `), `${verb} `,
      listing(values, block.tokens, 6, (found) => block.focus(found), block.positions));
  }

  function build(layer) {
    texts.replaceChildren();
    query = key = null;
    const entry = layer === null ? {queries: 0, keys: 0, rows: []} : data.layers[layer];
    same = isSelf(entry);
    const ask = (now) => { query = now; latest = 'query'; draw(); };
    if (same) {
      queries = keys = block(data.texts[entry.keys], 'Tokens', ask);
    } else {
      queries = block(data.texts[entry.queries], 'Queries', ask, entry.rows);
      keys = block(data.texts[entry.keys], 'Keys', (now) => {
        key = now;
        latest = 'key';
        draw();
      });
    }
  }

  let shown = null;
  function changed(layer, chosen) {
    heads = chosen;
    // the choice of a token outlives that of a head, but not that of another text
    const {queries: text, keys: other} = data.layers[layer];
    if (shown !== `${text} ${other}`) build(layer);
    shown = `${text} ${other}`;
    draw();
  }
  if (data.layers.length) {
    layerAndHead(controls, changed);
  } else {
    build(null);
    draw();
    view.setAttribute('aria-busy', 'false');
  }
  controls.append(tick('Emphasise small values', (on) => { emphasised = on; draw(); }));
}
