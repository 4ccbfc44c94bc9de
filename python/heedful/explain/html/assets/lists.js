// Tokens as options of a listbox: pointed at, focused by arrow keys, chosen by click or Enter.

// looked(index or null) is called when the token changes that the reader looks at: the one pointed
// at, else the one focused, else the one chosen; chose(index) when one is. A second click, or
// Escape, gives the choice up.
function tokenList(tokens, name, {
  vertical = false, columns = 1, positions = [...tokens.keys()], cell, looked, chose = () => {},
}) {
  const list = element('div', {
    role: 'listbox', 'aria-label': name, 'aria-orientation': vertical ? 'vertical' : 'horizontal',
  });
  const options = tokens.map((token, index) => {
    const option = element('div', {
      role: 'option', class: 'heat', 'aria-selected': 'false', tabindex: index ? -1 : 0,
    });
    if (cell) cell(option, index); else option.append(label(token));
    option.title = `${visible(token)} (position ${positions[index]})`;
    return option;
  });
  list.append(...options);
  const at = new Map(options.map((option, index) => [option, index]));
  let pointed = null, focused = null, chosen = null, last = 0;

  const index = (event) => at.get(event.target.closest('[role=option]')) ?? null;
  function tell() {
    const now = pointed ?? focused ?? chosen;
    for (const option of list.querySelectorAll('.looked')) option.classList.remove('looked');
    if (now !== null) options[now].classList.add('looked');
    looked(now);
  }
  function choose(wanted) {
    if (chosen !== null) options[chosen].setAttribute('aria-selected', 'false');
    chosen = wanted;
    if (chosen !== null) options[chosen].setAttribute('aria-selected', 'true');
    tell();
    if (chosen !== null) chose(chosen);
  }
  function focus(wanted) {
    options[last].tabIndex = -1;
    last = Math.max(0, Math.min(options.length - 1, wanted));
    options[last].tabIndex = 0;
    options[last].focus();
  }
  list.addEventListener('pointerover', (event) => {
    if (event.pointerType !== 'touch') { pointed = index(event); tell(); }
  });
  list.addEventListener('pointerleave', () => { pointed = null; tell(); });
  list.addEventListener('focusin', (event) => {
    const now = index(event);
    if (now === null) return;
    options[last].tabIndex = -1;
    last = now;
    options[last].tabIndex = 0;
    // a click chooses, and a focus that it brings along would outlive the choice
    focused = event.target.matches(':focus-visible') ? now : null;
    tell();
  });
  list.addEventListener('focusout', () => { focused = null; tell(); });
  list.addEventListener('click', (event) => {
    const now = index(event);
    if (now === null) return;
    if (now === chosen) { pointed = focused = null; choose(null); } else choose(now);
  });
  list.addEventListener('keydown', (event) => {
    const steps = vertical
      ? {ArrowUp: -1, ArrowDown: 1, PageUp: -20, PageDown: 20}
      : {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns};
    if (event.key in steps) focus(last + steps[event.key]);
    else if (event.key === 'Home') focus(0);
    else if (event.key === 'End') focus(options.length - 1);
    else if (event.key === 'Enter' || event.key === ' ') choose(chosen === last ? null : last);
    else if (event.key === 'Escape' && chosen !== null) { choose(null); event.stopPropagation(); }
    else return;
    event.preventDefault();
  });
  return {list, options, tokens, positions, focus};
}
