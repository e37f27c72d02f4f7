// Activating a version and rolling back, each after a question.
import { change } from "./call.js";

export function watchVersions() {
  const dialog = document.getElementById("activation");
  if (!dialog) return;
  const problem = document.getElementById("activation-problem");
  const reset = document.getElementById("activation-reset");
  const go = document.getElementById("activation-go");
  let wanted = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-activate], button[data-rollback]");
    if (!button) return;
    wanted = button.dataset;
    document.getElementById("activation-what").textContent = wanted.activate
      ? `Version ${wanted.activate} will judge ${wanted.source} from the next batch on, in every replica.`
      : `${wanted.source} goes back to version ${wanted.rollback}, from the next batch on, in every replica.`;
    problem.hidden = true;
    reset.checked = false;
    dialog.showModal();
  });
  go.addEventListener("click", async () => {
    go.disabled = true;
    const path = `/models/${encodeURIComponent(wanted.source)}`;
    const body = { reset_sessions: reset.checked };
    try {
      if (wanted.activate) await change("POST", `${path}/activate`, { ...body, version: wanted.activate });
      else await change("POST", `${path}/rollback`, body);
      location.assign("/page/versions");
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      go.disabled = false;
    }
  });
}
