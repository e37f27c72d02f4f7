// False alarm, true, undo. What an answer silences stands on the page before it can be given.
import { change, part, say } from "./call.js";

const LABELS = { false_positive: "False alarm", true_positive: "True" };

export function watchAnswers() {
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-answer]");
    if (!form) return;
    event.preventDefault();
    // Enter in the note gives no answer: which of the two would be a guess.
    if (event.submitter && event.submitter.name === "label" && document.activeElement.name !== "note") {
      give(form, event.submitter.value);
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-undo]");
    if (button) undo(button);
  });
}

// Give the answer that the panel shows; false where it shows none, or one to another incident.
export function answerShown(label, incident) {
  const form = document.querySelector("#panel form[data-answer]");
  if (!form || (incident && form.dataset.answer !== incident)) return false;
  give(form, label);
  return true;
}

export function undoShown() {
  const button = document.querySelector("#panel button[data-undo]");
  if (button) undo(button);
  return Boolean(button);
}

// Show what answers to an incident would do.
export async function showAnswer(incident) {
  const panel = document.getElementById("panel");
  const found = await part(`/page/incidents/${encodeURIComponent(incident)}/answer`);
  if (panel.dataset.incident !== undefined && panel.dataset.incident !== incident) return;
  if (found === null) {
    panel.textContent = "It is not there any more.";
  } else {
    panel.replaceChildren(...found);
    const badge = panel.querySelector("[data-badge]");
    for (const other of document.querySelectorAll("main > .heading [data-badge]")) {
      other.replaceChildren(...[...badge.childNodes].map((node) => node.cloneNode(true)));
    }
  }
}

async function give(form, label) {
  if (form.dataset.busy) return;
  form.dataset.busy = "yes";
  const incident = form.dataset.answer;
  const body = { incident, label };
  const given = new FormData(form);
  if (label === "false_positive" && given.get("scope")) body.scope = given.get("scope");
  if ((given.get("note") || "").trim()) body.note = given.get("note").trim();
  try {
    say(told(label, await change("POST", "/feedback", body)));
    await showAnswer(incident);
    changed();
  } catch (error) {
    say(`${LABELS[label]} was not taken: ${error.message}`, true);
  } finally {
    delete form.dataset.busy;
  }
}

function told(label, item) {
  if (item.state === "pending") return `Noted. It rings until there is ${item.needs}.`;
  if (item.agrees) return "Agreed: what another author said stands from now on.";
  if (label === "true_positive") return "True: no answer may silence it now.";
  const silences = (item.silences || []).join("; ");
  const rings = (item.still_ring || []).length ? ` Still ring: ${item.still_ring.join(", ")}.` : "";
  const trial = item.state === "trial" ? ` On trial until there is ${item.needs}.` : "";
  return `Silenced: ${silences}.${rings}${trial}`;
}

async function undo(button) {
  if (button.disabled) return;
  button.disabled = true;
  const shown = button.closest("[data-incident]");
  const incident = shown && shown.dataset.incident;
  try {
    await change("DELETE", `/feedback/${encodeURIComponent(button.dataset.undo)}`);
    say("Undone: it rings again.");
    if (incident) {
      await showAnswer(incident);
      changed();
    }
  } catch (error) {
    button.disabled = false;
    say(`It was not undone: ${error.message}`, true);
  }
}

// The list takes its rows anew, though nothing told it to.
function changed() {
  document.dispatchEvent(new CustomEvent("tocsin-answered"));
}
