// The explanation: sentences about one cell, one namespace, or one workload.
// Every name goes into the page as text, never as markup.

const MOST = 300; // entries of a list; the rest is counted

function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, value] of Object.entries(attributes)) k === 'onclick' ? e.addEventListener('click', value) : e.setAttribute(k, value);
  e.append(...children);
  return e;
}
const plural = (n, what) => n + ' ' + what + (n === 1 ? '' : 's');
const name = s => el('bdi', {}, s);

function makeExplainer(m, v, go) {
  const kindOf = e => e.kind === 'address' ? 'an address outside the cluster' : e.kind + (e.pods === 1 ? ', 1 pod' : ', ' + e.pods + ' pods');
  const mark = state => el('span', {class: 'mark', 'aria-hidden': 'true'}, MARK[state]);
  const shown = j => m.to[j].ports.map((p, k) => [p, k]).filter(([p]) => v.port < 0 || p === v.port);

  function pair(i, j) {
    const a = m.from[i], b = m.to[j], parts = [
      el('h2', {id: 'panel-title'}, name(a.full), el('span', {class: 'arrow'}, ' → '), name(b.full)),
      el('p', {class: 'about'}, kindOf(a) + ' → ' + kindOf(b)),
    ];
    for (const [p, k] of shown(j)) parts.push(port(i, j, p, k));
    return parts;
  }

  function port(i, j, p, k) {
    const a = m.from[i], b = m.to[j], c = m.cell(i, j, k), state = m.outcome(i, j, k);
    const box = el('section', {class: 'port tone-' + TONE[state]},
      el('h3', {}, mark(state), ' ', name(m.ports[p] || 'no port'), ' ', el('span', {class: 'word'}, WORD[state])));
    const pairs = m.notes.get(c);
    if (state === MIXED) box.append(el('p', {class: 'about'}, pairs
      ? `Of ${pairs[0] + pairs[1] + pairs[2]} pairs of pods, ${pairs[0]} may connect, ${pairs[1]} are denied and ${pairs[2]} are unknown. The rules are those of the first that is not allowed.`
      : 'Its pods do not agree. The rules are those of the first that is not allowed.'));
    if (state === NOPORT) box.append(el('p', {class: 'about'}, 'Nothing to judge: ' + m.side(m.ingress, c, a.full).text + ' with --ports.'));
    else box.append(el('dl', {}, ...side('Out of ', a.full, m.side(m.egress, c, b.full)), ...side('Into ', b.full, m.side(m.ingress, c, a.full))));
    if (state !== NOPORT && a.space && b.space) box.append(el('code', {class: 'ask'}, 'tightrope explain', ...[['from', ask(a)], ['to', ask(b)], ['port', m.ports[p]]].flatMap(([flag, what]) => [' ', el('span', {}, `--${flag} ${what}`)])));
    return box;
  }
  const ask = e => e.kind === 'pod' ? e.full : e.kind + '/' + e.full;
  const side = (verb, who, s) => [
    el('dt', {}, verb, name(who)),
    el('dd', {class: 'tone-' + TONE[s.state]}, mark(s.state), ' ', el('span', {class: 'rule'}, name(s.text))),
  ];

  // list is one entry per pair that may connect, each a way to its cell.
  function list(rows, cols, entry) {
    const found = [];
    for (const i of rows) for (const j of cols) {
      const open = shown(j).filter(([, k]) => m.outcome(i, j, k) & (ALLOW | MIXED)).map(([p]) => m.ports[p]);
      if (open.length) found.push([i, j, open.join(', ')]);
    }
    const ul = el('ul');
    for (const [i, j, ports] of found.slice(0, MOST)) ul.append(el('li', {}, el('button', {type: 'button', onclick: () => go(i, j)}, name(entry(i, j))), ' ' + ports));
    if (found.length > MOST) ul.append(el('li', {}, `and ${found.length - MOST} more`));
    return found.length ? ul : el('p', {class: 'about'}, 'None.');
  }

  function spaces(row, col) {
    const s = v.share(row, col), title = l => l.axis[l.line.at]?.full ?? m.spaceName(l.line.ns);
    const a = title({axis: m.from, line: row}), b = title({axis: m.to, line: col});
    const facts = [[s.allow, 'may connect on every port'], [s.some, 'on some ports'], [s.deny, 'denied'], [s.differ, 'where pods differ'], [s.unknown, 'unknown'], [s.none, 'to a target that declares no port']];
    return [
      el('h2', {id: 'panel-title'}, name(a), el('span', {class: 'arrow'}, ' → '), name(b)),
      el('p', {class: 'about'}, plural(s.pairs, 'pair') + ' of workloads: ' + facts.filter(([n]) => n).map(([n, what]) => n + ' ' + what).join(', ') + '.'),
      el('section', {class: 'port'}, el('h3', {}, 'May connect'), list(v.behind('row', row), v.behind('col', col), (i, j) => m.from[i].full + ' → ' + m.to[j].full)),
    ];
  }

  function one(axis, line) {
    const source = axis === 'row', e = (source ? m.from : m.to)[line.at];
    const all = (source ? v.members.col : v.members.row), others = [...all.values()].flat();
    return [
      el('h2', {id: 'panel-title'}, name(e.full)), el('p', {class: 'about'}, kindOf(e)),
      el('section', {class: 'port'}, el('h3', {}, source ? 'Reaches' : 'Is reached by'),
        source ? list([line.at], others, (i, j) => m.to[j].full) : list(others, [line.at], i => m.from[i].full)),
    ];
  }

  return (r, c) => {
    const row = v.rows[r], col = v.cols[c];
    if (!row) return one('col', col);
    if (!col) return one('row', row);
    return row.at >= 0 && col.at >= 0 ? pair(row.at, col.at) : spaces(row, col);
  };
}

// sentence is a cell in one line, for the status line and for screen readers.
function sentence(m, v, r, c) {
  const row = v.rows[r], col = v.cols[c];
  if (!row && !col) return '';
  const line = (l, ends) => l.at < 0 ? 'namespace ' + m.spaceName(l.ns) + (l.open ? ', open' : ', closed') : ends[l.at].full;
  if (!row) return 'to ' + line(col, m.to);
  if (!col) return 'from ' + line(row, m.from);
  if (row.at < 0 || col.at < 0) {
    const s = v.share(row, col), title = (l, ends) => l.at < 0 ? m.spaceName(l.ns) : ends[l.at].full;
    return `${title(row, m.from)} → ${title(col, m.to)}: of ${plural(s.pairs, 'pair')} of workloads, ${s.allow + s.some} may connect, ${s.deny} denied` + (s.differ + s.unknown ? `, ${s.differ + s.unknown} differ or unknown` : '') + (s.none ? `, ${s.none} to a target that declares no port` : '');
  }
  const ports = m.to[col.at].ports.map((p, k) => [p, k]).filter(([p]) => v.port < 0 || p === v.port);
  return `${m.from[row.at].full} → ${m.to[col.at].full}: ` + ports.slice(0, 8).map(([p, k]) => (m.ports[p] || 'no port') + ' ' + WORD[m.outcome(row.at, col.at, k)]).join(', ');
}
