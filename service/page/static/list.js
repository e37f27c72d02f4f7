// The list of incidents: kept as the service has it, and which one is chosen.
import { part, say } from "./call.js";
import { showAnswer } from "./answer.js";

const PAUSE_MS = 300;
let stream = null;
let waiting = null;
let fresh = 0;
// Incidents that were there when the page was, or that were told of: by the stream, as rows may come before their event.
const known = new Set();

const list = () => document.getElementById("list");
const rowOf = (incident) => list().querySelector(`li[data-incident="${CSS.escape(incident)}"]`);

export function followList() {
  if (!list()) return;
  for (const row of list().querySelectorAll("li[data-incident]")) known.add(row.dataset.incident);
  list().addEventListener("focusin", (event) => {
    const row = event.target.closest("li[data-incident]");
    if (row) choose(row);
  });
  document.addEventListener("tocsin-answered", () => refresh());
  if (!document.getElementById("live")) return;
  // A browser opens six connections to a host: a tab that nobody looks at gives its one back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  if (!document.hidden) open();
}

// Go to the next (1) or previous (-1) incident.
export function move(step) {
  if (!list()) return false;
  const rows = [...list().querySelectorAll("li[data-incident]")];
  if (!rows.length) return false;
  const at = rows.findIndex((row) => row.classList.contains("chosen"));
  const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), rows.length - 1);
  rows[next].querySelector("a").focus();
  rows[next].scrollIntoView({ block: "nearest" });
  return true;
}

// The incident that is chosen, or the one that this page is about; null: none.
export function chosen() {
  if (list()) {
    const row = list().querySelector("li.chosen");
    return row ? row.dataset.incident : null;
  }
  const shown = document.querySelector("#panel .answer");
  return shown ? shown.dataset.incident : null;
}

function choose(row) {
  const panel = document.getElementById("panel");
  for (const other of list().querySelectorAll("li.chosen")) other.classList.remove("chosen");
  row.classList.add("chosen");
  if (panel.dataset.incident === row.dataset.incident) return;
  panel.dataset.incident = row.dataset.incident;
  panel.textContent = "…";
  showAnswer(row.dataset.incident);
}

function open() {
  if (stream) return;
  const source = new URL(list().dataset.rows, location.href).searchParams.get("source");
  stream = new EventSource(`/incidents/stream${source ? `?source=${encodeURIComponent(source)}` : ""}`);
  stream.addEventListener("ready", () => {
    live(true);
    soon();
  });
  stream.addEventListener("incident", (event) => {
    const incident = JSON.parse(event.data);
    if (incident.state === "open" && !known.has(incident.id)) fresh += 1;
    known.add(incident.id);
    soon();
  });
  stream.addEventListener("error", () => {
    live(false);
    // A refusal ends it for good; after a broken connection the browser comes back by itself.
    if (stream && stream.readyState === EventSource.CLOSED) {
      close();
      setTimeout(() => !document.hidden && open(), 5000);
    }
  });
}

function close() {
  if (stream) stream.close();
  stream = null;
  live(false);
}

function live(on) {
  const mark = document.getElementById("live");
  if (!mark) return;
  mark.textContent = on ? "● live" : "○ not live";
  mark.classList.toggle("off", !on);
}

function soon() {
  if (waiting === null) waiting = setTimeout(refresh, PAUSE_MS);
}

// Take the rows as the service has them now; what has the focus keeps it.
async function refresh() {
  clearTimeout(waiting);
  waiting = null;
  const found = await part(list().dataset.rows).catch(() => null);
  if (found === null) return;
  const had = chosen();
  const focused = document.activeElement && document.activeElement.closest("#list li[data-incident]");
  list().replaceChildren(...found);
  const row = had && rowOf(had);
  if (row) {
    row.classList.add("chosen");
    if (focused) row.querySelector("a").focus({ preventScroll: true });
  }
  if (fresh) say(fresh === 1 ? "One new incident." : `${fresh} new incidents.`);
  fresh = 0;
}
