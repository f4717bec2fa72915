// key.js: the API key of this visit, where the service asks for one. It is kept in sessionStorage, so it ends with the tab,
// and it travels as Authorization only: never in an address, which would end in histories and logs.
// Deliberately no login: whoever has a key is whoever holds it. What the browser fetches by itself (streams, pictures,
// links) cannot carry a header, so with a key it is fetched here.

const PLACE = "pasta-fasta-key";
export const at = (id) => document.getElementById(id);
const key = sessionStorage.getItem(PLACE);
const authorization = key === null ? {} : { authorization: `Bearer ${key}` };

// fetch() with the key. A refusal for want of a key that is known shows the place for one.
export async function ask(path, { headers, ...options } = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers, ...authorization } });
  if (response.status === 401) {
    at("key-form").hidden = false;
    at("key-hint").textContent = key === null ? "" : "The service does not know the key given before.";
  }
  return response;
}

// What an attribute such as `src` can be set to for this path.
export async function address(path) {
  if (key === null) return path;
  const response = await ask(path);
  return response.ok ? URL.createObjectURL(await response.blob()) : "";
}

// A link's target as a download, where following the link would come without the key.
async function download(event) {
  if (key === null) return;
  event.preventDefault();
  const link = document.createElement("a");
  link.href = await address(event.currentTarget.getAttribute("href"));
  link.download = "";
  link.click();
  URL.revokeObjectURL(link.href);
}

// The events of a stream. With a key they are read here; such a stream does not reconnect: when it ends it is closed.
export const stream = (path) => (key === null ? new EventSource(path) : new KeyedStream(path));

class KeyedStream extends EventTarget {
  readyState = EventSource.OPEN;
  onerror = null;
  #stop = new AbortController();

  constructor(path) {
    super();
    this.#read(path).catch(() => {}).finally(() => {
      this.readyState = EventSource.CLOSED;
      this.onerror?.();
    });
  }

  close() {
    this.#stop.abort();
  }

  async #read(path) {
    const response = await ask(path, { signal: this.#stop.signal });
    if (!response.ok) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (text + value).split("\n\n");
      text = events.pop();
      events.forEach((event) => this.#tell(event.split("\n")));
    }
  }

  #tell(lines) {
    const field = (name) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trimStart();
    const data = field("data");
    // Without data it is a sign of life.
    if (data !== undefined) this.dispatchEvent(new MessageEvent(field("event") ?? "message", { data }));
  }
}

function change(act) {
  act();
  location.reload();
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  change(() => sessionStorage.setItem(PLACE, at("key").value.trim()));
});
at("forget-key").hidden = key === null;
at("forget-key").addEventListener("click", () => change(() => sessionStorage.removeItem(PLACE)));
for (const id of ["selected-json", "selected-csv"]) at(id).addEventListener("click", download);
