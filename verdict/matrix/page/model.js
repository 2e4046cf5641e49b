'use strict';
// The matrix as it was judged: unpacked once, never changed.

const ALLOW = 1, DENY = 2, MIXED = 4, UNKNOWN = 8, NOPORT = 16; // bits, and what pages call them
const WORD = {[ALLOW]: 'may connect', [DENY]: 'denied', [MIXED]: 'pods differ', [UNKNOWN]: 'unknown', [NOPORT]: 'no port declared'};
const MARK = {[ALLOW]: '■', [DENY]: '✕', [MIXED]: '≈', [UNKNOWN]: '?', [NOPORT]: '–'};
const TONE = {[ALLOW]: 'good', [DENY]: 'bad', [MIXED]: 'warn', [UNKNOWN]: 'warn', [NOPORT]: 'neutral'};
const OUTCOMES = [UNKNOWN, ALLOW, DENY, MIXED]; // by packed code

async function unpack(data) {
  const inflate = text => {
    const packed = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip')));
  };
  const [raw, rules] = await Promise.all([inflate(data.cells).arrayBuffer(), inflate(data.rules).json()]);
  let width = 0;
  for (const t of data.to) { t.at = width; width += t.ports.length; }
  const cells = data.from.length * width, outcomes = Math.ceil(cells / 4);
  const plane = n => {
    const part = raw.slice(outcomes + n * cells * data.ruleBytes, outcomes + (n + 1) * cells * data.ruleBytes);
    return data.ruleBytes === 2 ? new Uint16Array(part) : new Uint32Array(part);
  };
  const m = {...data, rules, width, cells, bits: new Uint8Array(raw, 0, outcomes), egress: plane(0), ingress: plane(1),
    notes: new Map(data.notes.map(([cell, ...pairs]) => [cell, pairs]))};
  for (const end of [...m.from, ...m.to]) {
    end.space = m.namespaces[end.ns];
    end.full = end.space ? end.space + '/' + end.name : end.name;
    end.find = (end.full + ' ' + end.kind + '/' + end.name).toLowerCase();
  }
  m.spaceName = ns => m.namespaces[ns] || 'outside the cluster';
  m.cell = (i, j, k) => i * width + m.to[j].at + k;
  m.outcome = (i, j, k) => {
    const c = m.cell(i, j, k);
    return m.ports[m.to[j].ports[k]] === '' ? NOPORT : OUTCOMES[m.bits[c >> 2] >> (c & 3) * 2 & 3];
  };
  m.side = (plane, c, peer) => {
    const text = m.rules[plane[c]];
    return {state: {A: ALLOW, D: DENY, U: UNKNOWN}[text[0]], text: text.slice(1).replace('\u0001', peer)};
  };
  return m;
}

// view is what of the matrix shows: which rows and columns, in which order.
// A line of it is {ns, at}, at being -1 for a namespace's own line.
function makeView(m) {
  const v = {port: -1, mask: 31, query: {row: '', col: ''}, closed: {row: new Set(), col: new Set()}, rows: [], cols: [], pair: null};
  if (Math.max(m.from.length, m.to.length) > 60) m.namespaces.forEach((_, ns) => { v.closed.row.add(ns); v.closed.col.add(ns); });

  // pair is, for each source and target, the outcomes of the ports that count.
  v.setPort = port => {
    v.port = port;
    v.pair = new Uint8Array(m.from.length * m.to.length);
    for (let i = 0, p = 0; i < m.from.length; i++) {
      for (let j = 0; j < m.to.length; j++, p++) {
        const ports = m.to[j].ports;
        for (let k = 0; k < ports.length; k++) if (port < 0 || ports[k] === port) v.pair[p] |= m.outcome(i, j, k);
      }
    }
  };
  v.at = (i, j) => v.pair[i * m.to.length + j];

  v.refresh = () => {
    const words = q => q.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = (ends, q) => ends.map((_, i) => i).filter(i => words(q).every(w => ends[i].find.includes(w)));
    let from = matching(m.from, v.query.row), to = matching(m.to, v.query.col);
    if (v.port >= 0) to = to.filter(j => m.to[j].ports.includes(v.port));
    if (v.mask !== 31) {
      const rows = from.filter(i => to.some(j => v.at(i, j) & v.mask));
      to = to.filter(j => from.some(i => v.at(i, j) & v.mask));
      from = rows;
    }
    v.rows = v.lines(m.from, from, v.closed.row, v.query.row);
    v.cols = v.lines(m.to, to, v.closed.col, v.query.col);
    v.members = {row: group(m.from, from), col: group(m.to, to)};
    v.shares = new Map();
  };
  const group = (ends, kept) => {
    const by = new Map();
    for (const i of kept) by.set(ends[i].ns, [...by.get(ends[i].ns) || [], i]);
    return by;
  };
  v.lines = (ends, kept, closed, query) => {
    const out = [];
    let last = -1;
    for (const i of kept) {
      const ns = ends[i].ns;
      if (ns !== last) { out.push({ns, at: -1, open: !!query || !closed.has(ns)}); last = ns; }
      if (query || !closed.has(ns)) out.push({ns, at: i});
    }
    return out;
  };
  v.behind = (axis, line) => line.at >= 0 ? [line.at] : v.members[axis].get(line.ns) || [];

  // share counts the pairs behind a namespace's cell by what they come to.
  v.share = (row, col) => {
    const key = row.ns + ' ' + row.at + ' ' + col.ns + ' ' + col.at;
    let s = v.shares.get(key);
    if (s) return s;
    s = {pairs: 0, allow: 0, some: 0, deny: 0, differ: 0, unknown: 0, none: 0, seen: 0};
    for (const i of v.behind('row', row)) {
      for (const j of v.behind('col', col)) {
        const p = v.at(i, j);
        if (!p || row.ns === col.ns && !m.namespaces[row.ns]) continue;
        s.pairs++; s.seen |= p;
        if (p & MIXED) s.differ++; else if (p & UNKNOWN) s.unknown++;
        else if (p === NOPORT) s.none++; else if (p === ALLOW) s.allow++; else if (p === DENY) s.deny++; else s.some++;
      }
    }
    s.part = s.pairs - s.none ? (s.allow + s.some / 2) / (s.pairs - s.none) : 0;
    v.shares.set(key, s);
    return s;
  };
  v.setPort(-1);
  v.refresh();
  return v;
}
