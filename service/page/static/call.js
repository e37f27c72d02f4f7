// Calls to the service, and what is said of them.

const AUTHOR = "tocsin.author";

export function author() {
  return (localStorage.getItem(AUTHOR) || "").trim();
}

export function setAuthor(name) {
  localStorage.setItem(AUTHOR, name.trim());
}

// A header holds Latin-1: the service reads these as the UTF-8 that they are.
function headerOf(name) {
  return Array.from(new TextEncoder().encode(name), (byte) => String.fromCharCode(byte)).join("");
}

// The answer of a call that changes something; throws Error with what the service says where it refuses.
export async function change(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (author()) headers["X-Tocsin-Author"] = headerOf(author());
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("The service does not answer.");
  }
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.error || `The service answers ${response.status}.`);
  return told;
}

// A part of a page, which the service has escaped; null where it is not there.
export async function part(path) {
  const response = await fetch(path, { headers: { Accept: "text/html" } });
  if (response.redirected) {
    // The log-in is over: the page as a whole is shown after the next one.
    location.reload();
    return null;
  }
  if (!response.ok) return null;
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  return [...parsed.body.childNodes];
}

// Words for everybody: read out, and shown.
export function say(text, problem = false) {
  document.getElementById(problem ? "status" : "alert").textContent = "";
  document.getElementById(problem ? "alert" : "status").textContent = text;
}
