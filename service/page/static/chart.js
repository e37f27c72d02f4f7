// Charts of the service's own counters: read every two seconds, drawn as rates, one line a source.

const EVERY_MS = 2000;
const KEPT = 150;
const WIDTH = 640;
const HEIGHT = 180;
const LEFT = 48;
const BOTTOM = 22;
const NS = "http://www.w3.org/2000/svg";
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "4 2", "1 4"];

const readings = [];

export function drawCharts() {
  if (!document.getElementById("charts")) return;
  const look = async () => {
    if (!document.hidden) await read().catch(() => undefined);
    setTimeout(look, EVERY_MS);
  };
  look();
}

async function read() {
  const response = await fetch("/metrics", { headers: { Accept: "text/plain" } });
  if (!response.ok) return;
  readings.push({ at: performance.now() / 1000, counts: counted(await response.text()) });
  if (readings.length > KEPT) readings.shift();
  for (const figure of document.querySelectorAll("figure.chart")) draw(figure);
}

// Counters by metric and source, labels other than the source added up.
function counted(text) {
  const counts = new Map();
  for (const line of text.split("\n")) {
    const found = /^(tocsin_[a-z_]+_total)\{(.*)\} ([0-9.e+-]+)$/i.exec(line);
    const source = found && /(?:^|,)source="((?:[^"\\]|\\.)*)"/.exec(found[2]);
    if (!source) continue;
    const name = `${found[1]} ${source[1]}`;
    counts.set(name, (counts.get(name) || 0) + Number(found[3]));
  }
  return counts;
}

// Rates by source between readings that follow each other; a counter that fell began anew.
function rates(metric, per) {
  const found = new Map();
  const last = readings[readings.length - 1].counts;
  for (const name of last.keys()) {
    if (!name.startsWith(`${metric} `)) continue;
    const points = [];
    for (let i = 1; i < readings.length; i += 1) {
      const [one, two] = [readings[i - 1], readings[i]];
      const grown = (two.counts.get(name) || 0) - (one.counts.get(name) || 0);
      points.push({ at: two.at, rate: (Math.max(grown, 0) / (two.at - one.at)) * per });
    }
    found.set(name.slice(metric.length + 1), points);
  }
  return found;
}

function draw(figure) {
  const found = rates(figure.dataset.metric, Number(figure.dataset.per));
  const now = readings[readings.length - 1].at;
  const span = Math.max(60, now - readings[0].at);
  const top = round(Math.max(1, ...[...found.values()].flat().map((point) => point.rate)));
  const x = (at) => LEFT + ((at - now + span) / span) * (WIDTH - LEFT - 8);
  const y = (rate) => HEIGHT - BOTTOM - (rate / top) * (HEIGHT - BOTTOM - 12);
  const chart = made("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "lines" });
  chart.setAttribute("aria-label", "The newest values stand in the list below.");
  for (const rate of [0, top / 2, top]) {
    chart.append(made("path", { class: "grid", d: `M${LEFT} ${y(rate)}H${WIDTH - 8}` }));
    chart.append(made("text", { x: LEFT - 6, y: y(rate) + 4, "text-anchor": "end" }, short(rate)));
  }
  chart.append(made("text", { x: LEFT, y: HEIGHT - 5 }, `${Math.round(span)} s ago`));
  chart.append(made("text", { x: WIDTH - 8, y: HEIGHT - 5, "text-anchor": "end" }, "now"));
  const legend = document.createElement("ul");
  legend.className = "legend";
  [...found].forEach(([source, points], number) => {
    const way = points.map((point) => `${x(point.at).toFixed(1)} ${y(point.rate).toFixed(1)}`).join("L");
    const pen = { class: `pen pen${number % 6}`, "stroke-dasharray": DASHES[number % 6] };
    if (way) chart.append(made("path", { ...pen, d: `M${way}` }));
    const entry = document.createElement("li");
    const sample = made("svg", { viewBox: "0 0 30 8", class: "sample", "aria-hidden": "true" });
    sample.append(made("path", { ...pen, d: "M0 4H30" }));
    const newest = points.length ? short(points[points.length - 1].rate) : "0";
    entry.append(sample, `${source}: ${newest}`);
    legend.append(entry);
  });
  if (!found.size) {
    const none = document.createElement("li");
    none.textContent = "Nothing was counted yet.";
    legend.append(none);
  }
  figure.replaceChildren(chart, legend);
}

function made(name, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The next of 1, 2, 5, 10, 20 ... above a value.
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function short(value) {
  return value >= 1000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(3)));
}
