// Single keys, which can be turned off, and who answers.
import { answerShown, undoShown } from "./answer.js";
import { author, say, setAuthor } from "./call.js";
import { chosen, move } from "./list.js";

const OFF = "tocsin.keys";

export function watchKeys() {
  const help = document.getElementById("help");
  const on = document.getElementById("keys-on");
  const name = document.getElementById("author");
  on.checked = localStorage.getItem(OFF) !== "off";
  on.addEventListener("change", () => localStorage.setItem(OFF, on.checked ? "on" : "off"));
  if (name) {
    name.value = author();
    name.addEventListener("change", () => setAuthor(name.value));
  }
  document.getElementById("help-button").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (!on.checked || event.ctrlKey || event.metaKey || event.altKey ) return;
    if (event.target.closest("input:not([type=radio]):not([type=checkbox]), select, textarea, dialog")) return;
    const act = ACTS[event.key];
    if (act && act()) event.preventDefault();
  });
}

const ACTS = {
  j: () => move(1),
  k: () => move(-1),
  f: () => answer("false_positive"),
  t: () => answer("true_positive"),
  u: () => undoShown(),
  "?": () => {
    document.getElementById("help").showModal();
    return true;
  },
};

function answer(label) {
  const incident = chosen();
  if (incident === null) return false;
  if (!answerShown(label, incident)) say("What it would silence is not shown yet, or it cannot be answered.");
  return true;
}
