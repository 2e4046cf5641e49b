// What people do: move, search, filter, open, close, print.

async function start() {
  const $ = id => document.getElementById(id);
  const grid = $('grid'), panel = $('panel'), status = $('status');
  const m = await unpack(JSON.parse($('data').textContent));
  const v = makeView(m), d = makePainter(m, v, grid, $('canvas'), $('spacer'));
  let auto = true, asked = false, cellID = 0;

  const redraw = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; d.draw(); });
  };
  const clamp = (n, low, high) => Math.max(low, Math.min(high, n));

  // place moves the one cell that assistive technology sees to the active one.
  const place = (say = true) => {
    const {r, c} = d.active, old = $('row').firstElementChild, b = d.box(r, c);
    const e = el('div', {id: 'cell-' + (cellID = 1 - cellID), class: 'cell on', 'aria-label': sentence(m, v, r, c),
      role: r < 0 ? 'columnheader' : c < 0 ? 'rowheader' : 'gridcell', 'aria-colindex': c + 2});
    const line = r < 0 ? v.cols[c] : c < 0 ? v.rows[r] : null;
    if (line && line.at < 0) e.setAttribute('aria-expanded', line.open);
    Object.assign(e.style, {left: b.x + 'px', top: b.y + 'px', width: b.w + 'px', height: b.h + 'px'});
    old.replaceWith(e);
    $('row').setAttribute('aria-rowindex', r + 2);
    grid.setAttribute('aria-activedescendant', e.id);
    if (say) status.textContent = sentence(m, v, r, c) || '\u00a0';
  };
  const moveTo = (r, c) => {
    d.active = {r: clamp(r, -1, v.rows.length - 1), c: clamp(c, d.active.r < 0 && r < 0 ? 0 : -1, v.cols.length - 1)};
    if (d.active.r < 0 && d.active.c < 0) d.active = r < 0 ? {r: -1, c: 0} : {r: 0, c: -1};
    d.hover = null;
    d.reveal(d.active.r, d.active.c);
    place(); redraw();
    if (!panel.hidden) explain(false);
  };

  // refresh keeps the active cell on the same workloads where they still show.
  const refresh = () => {
    const was = {row: v.rows[d.active.r], col: v.cols[d.active.c]};
    v.refresh();
    const none = !v.rows.length || !v.cols.length;
    $('empty').hidden = !none; grid.hidden = none;
    if (none) { status.textContent = 'Nothing matches.'; return; }
    const find = (lines, l, old) => l ? clamp(lines.findIndex(x => x.ns === l.ns && x.at === l.at), 0, lines.length - 1) : Math.min(old, -1);
    d.active = {r: find(v.rows, was.row, d.active.r), c: find(v.cols, was.col, d.active.c)};
    d.hover = null;
    grid.setAttribute('aria-rowcount', v.rows.length + 1); grid.setAttribute('aria-colcount', v.cols.length + 1);
    d.layout(auto); place(); redraw();
  };

  const toggle = (axis, line, open = !line.open) => {
    if (open) v.closed[axis].delete(line.ns); else v.closed[axis].add(line.ns);
    refresh();
    d.reveal(d.active.r, d.active.c); place();
  };

  // go shows the cell of two workloads, opening what is in the way.
  const go = (i, j) => {
    v.closed.row.delete(m.from[i].ns); v.closed.col.delete(m.to[j].ns);
    refresh();
    moveTo(v.rows.findIndex(l => l.at === i), v.cols.findIndex(l => l.at === j));
    explain(true);
  };
  const explainer = makeExplainer(m, v, go);
  function explain(focus) {
    $('panel-body').replaceChildren(...explainer(d.active.r, d.active.c));
    panel.hidden = false; panel.scrollTop = 0;
    cover();
    d.reveal(d.active.r, d.active.c); place(); redraw();
    if (focus) panel.focus({preventScroll: true});
  }
  // cover makes room to scroll what lies under the panel out from under it.
  const cover = () => { d.covered = panel.hidden || panel.offsetWidth > 0.7 * grid.clientWidth ? 0 : panel.offsetWidth; d.layout(false); };
  const close = () => { panel.hidden = true; cover(); grid.focus(); place(); redraw(); };

  const enter = () => {
    const {r, c} = d.active;
    if (r < 0 && v.cols[c].at < 0) return toggle('col', v.cols[c]);
    if (c < 0 && v.rows[r].at < 0) return toggle('row', v.rows[r]);
    explain(true);
  };
  const zoom = by => { auto = false; d.h = clamp(d.h + by, 10, 44); d.w = clamp(d.w + by, 10, 60); d.layout(false); d.reveal(d.active.r, d.active.c); place(); redraw(); };

  grid.addEventListener('keydown', e => {
    const {r, c} = d.active, page = Math.max(1, Math.floor((grid.clientHeight - d.top) / d.h) - 1);
    const last = {r: v.rows.length - 1, c: v.cols.length - 1};
    const act = {
      ArrowUp: () => moveTo(r - 1, c), ArrowDown: () => moveTo(r + 1, c), ArrowLeft: () => moveTo(r, c - 1), ArrowRight: () => moveTo(r, c + 1),
      PageUp: () => moveTo(Math.max(0, r - page), c), PageDown: () => moveTo(r + page, c),
      Home: () => moveTo(e.ctrlKey ? 0 : r, 0), End: () => moveTo(e.ctrlKey ? last.r : r, last.c),
      Enter: enter, ' ': enter, '+': () => zoom(4), '=': () => zoom(4), '-': () => zoom(-4),
    }[e.key];
    if (!act || e.altKey || e.metaKey) return;
    e.preventDefault();
    act();
  });
  document.addEventListener('keydown', e => {
    const typing = /^(INPUT|SELECT)$/.test(e.target.tagName);
    if (e.key === '/' && !typing) { e.preventDefault(); $('from').focus(); $('from').select(); }
    if (e.key === 'Escape' && !panel.hidden) { e.preventDefault(); close(); }
    else if (e.key === 'Escape' && typing) { e.target.value = ''; e.target.dispatchEvent(new Event('input')); grid.focus(); }
  });
  grid.addEventListener('mousemove', e => {
    const h = d.hit(e.clientX, e.clientY);
    if (h?.r === d.hover?.r && h?.c === d.hover?.c) return;
    d.hover = h;
    grid.style.cursor = h ? 'pointer' : '';
    if (h) status.textContent = sentence(m, v, h.r, h.c);
    redraw();
  });
  grid.addEventListener('mouseleave', () => { d.hover = null; place(); redraw(); });
  grid.addEventListener('click', e => {
    const h = d.hit(e.clientX, e.clientY);
    if (!h) return;
    moveTo(h.r, h.c);
    enter();
  });
  grid.addEventListener('scroll', () => { place(!d.hover); redraw(); }, {passive: true});

  const onInput = (id, set) => $(id).addEventListener('input', e => { set(e.target.value); grid.scrollTo(0, 0); refresh(); });
  onInput('from', text => { v.query.row = text; });
  onInput('to', text => { v.query.col = text; });
  onInput('port', index => { v.setPort(index === '' ? -1 : Number(index)); });
  $('tools').addEventListener('submit', e => { e.preventDefault(); grid.focus(); });
  $('show').addEventListener('click', e => {
    const b = e.target.closest('button');
    if (!b) return;
    b.setAttribute('aria-pressed', b.getAttribute('aria-pressed') !== 'true');
    const on = [...$('show').querySelectorAll('button')].filter(x => x.getAttribute('aria-pressed') === 'true');
    v.mask = on.length === 4 ? 31 : on.reduce((sum, x) => sum | Number(x.dataset.mask), 0);
    refresh();
  });
  const every = closed => { m.namespaces.forEach((_, ns) => ['row', 'col'].forEach(a => closed ? v.closed[a].add(ns) : v.closed[a].delete(ns))); refresh(); grid.scrollTo(0, 0); };
  $('expand').addEventListener('click', () => every(false));
  $('collapse').addEventListener('click', () => every(true));
  $('larger').addEventListener('click', () => zoom(4));
  $('smaller').addEventListener('click', () => zoom(-4));
  $('fit').addEventListener('click', () => { auto = true; refresh(); });
  $('close').addEventListener('click', close);
  $('reset').addEventListener('click', () => {
    $('tools').reset();
    $('show').querySelectorAll('button').forEach(b => b.setAttribute('aria-pressed', true));
    v.mask = 31; v.query = {row: '', col: ''}; v.setPort(-1); refresh(); grid.focus();
  });

  const order = m.ports.map((p, i) => [p, i]).filter(([p]) => p).sort((a, b) => a[0].localeCompare(b[0], 'en', {numeric: true}));
  for (const [p, i] of order) $('port').append(el('option', {value: i}, p));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { d.colours(); redraw(); });
  window.addEventListener('beforeprint', () => $('print').replaceChildren(...onPaper(m, v)));
  new ResizeObserver(() => { d.layout(auto); place(false); redraw(); }).observe(grid);
  refresh();
  document.documentElement.dataset.ready = 'yes';
}

// onPaper lists who may reach each target that shows, because a grid of hundreds
// does not fit on paper.
function onPaper(m, v) {
  const out = [];
  let last = -1, lines = 0;
  for (const [ns, targets] of v.members.col) {
    for (const j of targets) {
      if (ns !== last) { out.push(el('h2', {}, name('To ' + m.spaceName(ns)))); last = ns; }
      out.push(el('h3', {}, name(m.to[j].name)));
      for (let k = 0; k < m.to[j].ports.length; k++) {
        const p = m.to[j].ports[k];
        if (v.port >= 0 && v.port !== p) continue;
        const by = s => [...v.members.row.values()].flat().filter(i => m.outcome(i, j, k) & s).map(i => m.from[i].full);
        const open = by(ALLOW), unsure = by(MIXED | UNKNOWN);
        out.push(el('p', {}, (m.ports[p] || 'no port') + ': ', name(m.ports[p] ? (open.length ? 'from ' + open.join(', ') : 'from nobody') : 'nothing to judge'), name(unsure.length ? '; not certain: ' + unsure.join(', ') : '')));
        if (++lines > 5000) return [...out, el('p', {}, 'The rest does not fit: narrow it with the filters, then print again.')];
      }
    }
  }
  return out;
}

start().catch(err => { document.getElementById('status').textContent = 'The matrix cannot be drawn: ' + err.message; throw err; });
