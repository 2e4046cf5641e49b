// Drawing: the canvas shows the part that is scrolled to, and nothing else is
// drawn, so that the size of the matrix does not matter.

function makePainter(m, v, grid, canvas, spacer) {
  const ctx = canvas.getContext('2d');
  const d = {cut: 0, w: 0, h: 0, covered: 0, left: 0, top: 0, hover: null, active: {r: 0, c: 0}, colour: {}};
  const FONT = '12px ', sans = getComputedStyle(document.documentElement).getPropertyValue('--sans');
  const widths = new Map();

  d.colours = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['raise', 'ink', 'soft', 'rule', 'track', 'dot', 'good', 'bad', 'warn', 'neutral']) d.colour[name] = style.getPropertyValue('--' + name).trim();
  };

  // fit makes cells as large as lets everything in, within reason.
  d.fit = () => {
    const wide = Math.floor((grid.clientWidth - d.left) / Math.max(1, v.cols.length)), high = Math.floor((grid.clientHeight - d.top) / Math.max(1, v.rows.length));
    d.h = Math.max(17, Math.min(34, high));
    d.w = Math.max(17, Math.min(d.h * 1.8, wide));
  };
  d.layout = auto => {
    const longest = (lines, ends) => Math.max(60, ...lines.map(l => text(label(l, ends), l.at < 0) + (l.at < 0 ? 34 : 30)));
    // Names give way to cells, but not to room that no cell takes.
    const spare = (whole, lines, cell, most) => Math.max(most, whole - lines.length * cell);
    d.left = Math.round(Math.min(longest(v.rows, m.from), spare(grid.clientWidth, v.cols, 30, Math.min(260, grid.clientWidth * 0.42))));
    d.top = Math.round(Math.min(longest(v.cols, m.to), spare(grid.clientHeight, v.rows, 24, Math.min(190, grid.clientHeight * 0.45))));
    if (auto || !d.h) d.fit();
    spacer.style.width = d.left + d.covered + v.cols.length * d.w + 'px';
    spacer.style.height = d.top + v.rows.length * d.h + 'px';
  };
  const label = (l, ends) => l.at < 0 ? m.spaceName(l.ns) : ends[l.at].name;
  const text = (s, bold) => {
    const key = (bold ? 'b' : '') + s;
    if (!widths.has(key)) { ctx.font = (bold ? '600 ' : '') + FONT + sans; widths.set(key, ctx.measureText(s).width); }
    return widths.get(key);
  };
  const shorten = (s, room, bold) => {
    if (text(s, bold) <= room) return s;
    let n = Math.max(2, Math.floor(s.length * room / text(s, bold)) - 1);
    return s.slice(0, Math.ceil(n * 0.6)) + '…' + s.slice(s.length - Math.floor(n * 0.4));
  };

  d.draw = () => {
    const w = grid.clientWidth, h = grid.clientHeight, ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
      canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio);
      canvas.style.width = w + 'px'; canvas.style.height = h + 'px';
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = d.colour.raise; ctx.fillRect(0, 0, w, h);
    const sx = grid.scrollLeft, sy = grid.scrollTop;
    const r0 = Math.floor(sy / d.h), r1 = Math.min(v.rows.length, Math.ceil((sy + h - d.top) / d.h));
    const c0 = Math.floor(sx / d.w), c1 = Math.min(v.cols.length, Math.ceil((sx + w - d.left) / d.w));
    const x = c => d.left + c * d.w - sx, y = r => d.top + r * d.h - sy;
    ctx.save(); ctx.beginPath(); ctx.rect(d.left, d.top, w, h); ctx.clip();
    bands(r0, r1, c0, c1, x, y);
    for (let r = r0; r < r1; r++) for (let c = c0; c < c1; c++) cell(v.rows[r], v.cols[c], x(c), y(r));
    ctx.restore();
    d.cut = 0;
    names(r0, r1, c0, c1, x, y, w, h);
    canvas.dataset.cut = d.cut;
  };

  const pointed = () => d.hover || d.active;
  function bands(r0, r1, c0, c1, x, y) {
    const p = pointed(), right = x(v.cols.length) - d.left, low = y(v.rows.length) - d.top;
    ctx.fillStyle = d.colour.track;
    for (let r = r0; r < r1; r++) if (v.rows[r].at < 0) ctx.fillRect(d.left, y(r), right, d.h);
    for (let c = c0; c < c1; c++) if (v.cols[c].at < 0) ctx.fillRect(x(c), d.top, d.w, low);
    ctx.globalAlpha = 0.10; ctx.fillStyle = d.colour.neutral;
    if (p.r >= 0) ctx.fillRect(d.left, y(p.r), right, d.h);
    if (p.c >= 0) ctx.fillRect(x(p.c), d.top, d.w, low);
    ctx.globalAlpha = 1; ctx.fillStyle = d.colour.rule;
    for (let r = r0; r < r1; r++) if (v.rows[r].at < 0) ctx.fillRect(d.left, y(r), right, 1);
    for (let c = c0; c < c1; c++) if (v.cols[c].at < 0) ctx.fillRect(x(c), d.top, 1, low);
  }

  function cell(row, col, x, y) {
    if (row.at < 0 || col.at < 0) return share(v.share(row, col), row.open || col.open, x, y);
    const whole = v.at(row.at, col.at), p = whole & v.mask, s = Math.min(d.w, d.h);
    if (!p) return;
    const e = s - (s > 18 ? 5 : 4), a = x + (d.w - e) / 2, b = y + (d.h - e) / 2;
    if (p & (MIXED | UNKNOWN)) return sign(p & MIXED ? '≈' : '?', whole & ALLOW, a, b, e);
    if (p & ALLOW) {
      ctx.fillStyle = d.colour.good;
      if (whole & DENY) {
        ctx.globalAlpha = 0.2; box(a, b, e, e); ctx.globalAlpha = 1;
        ctx.beginPath(); ctx.moveTo(a, b); ctx.lineTo(a + e, b); ctx.lineTo(a, b + e); ctx.fill();
      } else box(a, b, e, e);
    } else {
      ctx.fillStyle = d.colour.dot;
      if (p & DENY) { ctx.beginPath(); ctx.arc(x + d.w / 2, y + d.h / 2, Math.max(1.3, s / 13), 0, 7); ctx.fill(); }
      else dash(x, y);
    }
  }
  const box = (x, y, w, h) => { ctx.beginPath(); ctx.roundRect(x, y, w, h, 2); ctx.fill(); };
  const dash = (x, y) => { ctx.fillStyle = d.colour.dot; ctx.fillRect(x + d.w / 2 - 4, y + d.h / 2 - 0.75, 8, 1.5); };
  function sign(glyph, allows, x, y, e) {
    if (allows) { ctx.globalAlpha = 0.2; ctx.fillStyle = d.colour.good; box(x, y, e, e); ctx.globalAlpha = 1; }
    ctx.strokeStyle = ctx.fillStyle = d.colour.warn; ctx.lineWidth = 1.5;
    ctx.beginPath(); ctx.roundRect(x + 0.75, y + 0.75, e - 1.5, e - 1.5, 2); ctx.stroke();
    write(glyph, x + e / 2, y + e / 2, '700 ' + Math.min(14, e * 0.85) + 'px ');
  }
  function write(text, x, y, font) {
    ctx.font = font + sans; ctx.textAlign = 'center'; ctx.textBaseline = 'middle';
    ctx.fillText(text, x, y + 0.5);
  }
  // share is a bar from the left, fainter where the lines behind it show too.
  function share(s, opened, x, y) {
    if (!s.pairs || !(s.seen & v.mask)) return;
    if (s.pairs === s.none) return dash(x, y);
    const w = d.w - 3, h = d.h - 3, a = x + 1.5, b = y + 1.5, long = s.part > 0 ? Math.max(1.5, w * s.part) : 0;
    ctx.fillStyle = d.colour.good;
    ctx.globalAlpha = opened ? 0.06 : 0.11; box(a, b, w, h);
    ctx.globalAlpha = opened ? 0.24 : 0.5;
    ctx.beginPath(); ctx.roundRect(a, b, long, h, s.part > 0.95 ? 2 : [2, 0, 0, 2]); ctx.fill();
    ctx.globalAlpha = 1;
    if (s.differ || s.unknown) {
      ctx.fillStyle = d.colour.warn;
      ctx.beginPath(); ctx.moveTo(a + w - 5, b); ctx.lineTo(a + w, b); ctx.lineTo(a + w, b + 5); ctx.fill();
    }
    if (d.w < 27 || d.h < 15) return;
    const part = Math.round(s.part * 100);
    ctx.fillStyle = s.part ? d.colour.ink : d.colour.soft;
    write(part === 0 && s.part > 0 ? '<1' : part === 100 && s.part < 1 ? '>99' : String(part), x + d.w / 2, y + d.h / 2, (opened ? '' : '600 ') + '11px ');
  }

  function names(r0, r1, c0, c1, x, y, w, h) {
    const p = pointed();
    ctx.fillStyle = d.colour.raise;
    ctx.fillRect(0, 0, w, d.top); ctx.fillRect(0, 0, d.left, h);
    ctx.textBaseline = 'middle';
    ctx.save(); ctx.beginPath(); ctx.rect(0, d.top, d.left, h); ctx.clip();
    for (let r = r0; r < r1; r++) name(v.rows[r], m.from, y(r) + d.h / 2, d.left, d.h, r === p.r);
    ctx.restore();
    ctx.save(); ctx.beginPath(); ctx.rect(d.left, 0, w, d.top); ctx.clip();
    for (let c = c0; c < c1; c++) {
      ctx.save(); ctx.translate(x(c) + d.w / 2, d.top); ctx.rotate(-Math.PI / 2);
      name(v.cols[c], m.to, 0, d.top, d.w, c === p.c);
      ctx.restore();
    }
    ctx.restore();
    ctx.fillStyle = d.colour.rule;
    ctx.fillRect(d.left - 1, 0, 1, h); ctx.fillRect(0, d.top - 1, w, 1);
    ctx.fillStyle = d.colour.soft; ctx.font = FONT + sans; ctx.textAlign = 'right'; ctx.textBaseline = 'alphabetic';
    ctx.fillText('to →', d.left - 8, 18); ctx.textAlign = 'left'; ctx.fillText('from ↓', 10, d.top - 8);
  }
  // name writes a line's name along y, within room; thick is how much it has across.
  function name(l, ends, y, room, thick, pointed) {
    const group = l.at < 0, bold = group || pointed, at = group ? 22 : 24;
    if (pointed) { ctx.globalAlpha = 0.12; ctx.fillStyle = d.colour.neutral; ctx.fillRect(0, y - thick / 2, room, thick); ctx.globalAlpha = 1; }
    ctx.fillStyle = bold ? d.colour.ink : d.colour.soft;
    ctx.font = (bold ? '600 ' : '') + FONT + sans; ctx.textAlign = 'left'; ctx.textBaseline = 'middle';
    const full = label(l, ends), shown = shorten(full, room - at - 6, bold);
    if (shown !== full) d.cut++;
    ctx.fillText(shown, at, y + 0.5);
    if (!group) return;
    ctx.beginPath(); // open points away from the names, closed along them
    if (l.open) { ctx.moveTo(8, y - 3); ctx.lineTo(16, y - 3); ctx.lineTo(12, y + 3); } else { ctx.moveTo(9, y - 4); ctx.lineTo(15, y); ctx.lineTo(9, y + 4); }
    ctx.fill();
  }

  // hit is the cell under a point of the page; a name is in row or column -1.
  d.hit = (clientX, clientY) => {
    const b = grid.getBoundingClientRect(), px = clientX - b.left - grid.clientLeft, py = clientY - b.top - grid.clientTop;
    if (px < 0 || py < 0 || px > grid.clientWidth || py > grid.clientHeight) return null;
    const c = px < d.left ? -1 : Math.floor((px - d.left + grid.scrollLeft) / d.w);
    const r = py < d.top ? -1 : Math.floor((py - d.top + grid.scrollTop) / d.h);
    return r >= v.rows.length || c >= v.cols.length || r < 0 && c < 0 ? null : {r, c};
  };
  // box is where a cell lies in the scrolled content.
  d.box = (r, c) => ({
    x: c < 0 ? grid.scrollLeft : d.left + c * d.w, y: r < 0 ? grid.scrollTop : d.top + r * d.h,
    w: c < 0 ? d.left : d.w, h: r < 0 ? d.top : d.h,
  });
  d.reveal = (r, c) => {
    const w = Math.max(d.w, grid.clientWidth - d.left - d.covered), h = grid.clientHeight - d.top;
    if (c >= 0) grid.scrollLeft = Math.max(Math.min(grid.scrollLeft, c * d.w), (c + 1) * d.w - w + 2);
    if (r >= 0) grid.scrollTop = Math.max(Math.min(grid.scrollTop, r * d.h), (r + 1) * d.h - h + 2);
  };
  d.colours();
  return d;
}
