// app.js: the live half of the page at `/`. It reads models, recipes and presets into the forms, places orders, follows
// one of them through its event stream, and runs comparisons.
// Deliberately no framework and no state beyond what is on screen: the API is the truth, a reload shows the same. Every
// text of the API is data: it enters the document through textContent and attributes only, never as markup.
import { address, ask, at, stream as streamOf } from "./key.js";

const RECENT_ORDERS = 20; // chosen: fits the list without a second page
const NARRATION_LINES = 300; // chosen: a long order must not grow the document without bound
const END_STATES = ["succeeded", "failed", "canceled", "expired"];
const POLL_MS = { busy: 1000, idle: 4000 };
const COMPARISON_WAIT_S = 2; // chosen short: each answer moves the progress bar

const whole = (id) => at(id).valueAsNumber;
const orderPath = (id) => `/orders/${encodeURIComponent(id)}`;
const rows = new Map(); // recent orders by id: a row is updated in place, so that keyboard focus and clicks stay on it
let selectedId = null;
let shown = null; // the selected order as last answered
let stream = null; // at most one EventSource: a browser has six connections per host
let unwritten = []; // narration waiting for the next frame
let comparisonId = null; // null until one was asked for or found

// A GET, or with `body` a POST; an empty one for null.
async function call(path, body) {
  const content = body ? { body: JSON.stringify(body), headers: { "content-type": "application/json" } } : {};
  const response = await ask(path, { method: body === undefined ? "GET" : "POST", ...content });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  throw new Error(text.startsWith("{") ? sentence(JSON.parse(text)) : `Refused (${response.status})`);
}

function sentence({ title, status, kind, detail, errors }) {
  const pointed = (errors ?? []).map((error) => `${error.pointer}: ${error.detail}`);
  return [`${title ?? "Failed"} (${kind ?? status})`, ...(pointed.length > 0 ? pointed : [detail])].join("\n");
}

// Runs `action` and shows in `place` what went wrong. Cleared before, not after: a slow success must not wipe out news.
async function tell(place, action) {
  at(place).textContent = "";
  try {
    await action();
  } catch (error) {
    at(place).textContent = error.message;
  }
}

function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function group(tag, tags, texts) {
  const made = element(tag);
  made.append(...texts.map((text, place) => element(tags[place], text)));
  return made;
}

function showStatus(place, status) {
  place.textContent = status;
  place.dataset.status = status;
}

function showProgress(place, done, total) {
  at(place).max = Math.max(total, 1);
  at(place).value = done;
}

const number = (value) => value?.toLocaleString("en", { maximumFractionDigits: value < 100 ? 2 : 0 }) ?? "–";
const whatOf = ({ model, recipe, dishes }) => `${model} · ${recipe?.name ?? "own work"} · dishes: ${dishes}`;
const pairs = (map) => Object.entries(map).map(([key, value]) => `${key}=${value}`).join(", ");

// The order form ----------------------------------------------------------------------------------------------------
async function fillForm() {
  for (const kind of ["models", "recipes", "presets"]) {
    const { data } = await call(`/${kind}`);
    for (const { name, summary, setup } of data) {
      const options = Object.entries(setup ?? {}).map(([option, { accepts }]) => `${option}: ${accepts}`);
      const told = { value: name, "data-kind": kind, "data-summary": [summary, ...options].join("\n") };
      at(kind).append(element("option", name, told));
    }
    if (kind === "models") at(kind).value = "asyncio"; // now, not at the end: a quick visitor's choice must stand
  }
  adaptForm();
}

// A recipe brings its own steps, a preset is a whole order: what they decide is not asked. Speed stays: 30 s are long.
function adaptForm() {
  const { kind, summary } = at("work").selectedOptions[0].dataset;
  for (const id of ["io-ms", "cpu-ms"]) at(id).disabled = kind !== undefined;
  for (const id of ["dishes", "models", "setup"]) at(id).disabled = kind === "presets";
  at("work-summary").textContent = summary ?? "";
  at("model-summary").textContent = at("models").selectedOptions[0]?.dataset.summary ?? "";
}

function orderFromForm() {
  const { value: name, dataset } = at("work").selectedOptions[0];
  if (dataset.kind === "presets") return { preset: name, speed: whole("speed") };
  const work = dataset.kind ? { recipe: name } : { io_ms: whole("io-ms"), cpu_ms: whole("cpu-ms") };
  const setup = at("setup").value.trim();
  const staff = setup === "" ? {} : { setup: JSON.parse(setup) };
  return { model: at("models").value, ...staff, ...work, dishes: whole("dishes"), speed: whole("speed") };
}

// Recent orders -----------------------------------------------------------------------------------------------------
function rowOf(order) {
  const item = rows.get(order.id) ?? at("recent-row").content.firstElementChild.cloneNode(true);
  const button = item.firstElementChild;
  const [status, what] = button.children;
  rows.set(order.id, item);
  showStatus(status, order.status);
  const steps = `${order.progress.steps_done}/${order.progress.steps_total} steps`;
  what.textContent = [whatOf(order), steps, pairs(order.labels)].filter(Boolean).join(" · ");
  button.dataset.order = order.id;
  button.setAttribute("aria-current", String(order.id === selectedId));
  return item;
}

async function refresh() {
  const [{ data }, stats] = await Promise.all([call(`/orders?limit=${RECENT_ORDERS}`), call("/stats")]);
  const list = at("recent");
  data.map(rowOf).forEach((item, place) => {
    if (list.children[place] !== item) list.insertBefore(item, list.children[place]);
  });
  while (list.children.length > data.length) {
    rows.delete(list.lastChild.firstElementChild.dataset.order);
    list.lastChild.remove();
  }
  at("house").textContent = ["queued", "running", ...END_STATES].map((state) => `${stats[state]} ${state}`).join(", ");
  // The stream is faster and complete; the list only stands in where there is none.
  if (!stream) data.filter(({ id }) => id === selectedId).forEach(showOrder);
  return data.some(({ done }) => !done);
}

async function keepRefreshing() {
  let pace = "idle";
  if (!document.hidden) await tell("recent-error", async () => (pace = (await refresh()) ? "busy" : "idle"));
  setTimeout(keepRefreshing, POLL_MS[pace]);
}

// The selected order ------------------------------------------------------------------------------------------------
async function select(id) {
  stream?.close();
  [selectedId, shown, stream, unwritten] = [id, null, null, []];
  at("selected").hidden = true;
  at("narration").replaceChildren();
  at("timeline").hidden = true;
  at("timeline").removeAttribute("src"); // else the last picture, if still on its way, would show up here
  history.replaceState(null, "", `#${id}`);
  const order = await call(orderPath(id));
  if (selectedId !== id) return;
  showOrder(order);
  at("selected").scrollIntoView({ block: "nearest" });
  follow(id);
  await refresh();
}

// The stream tells an order from its beginning, whether it is running or has ended.
function follow(id) {
  const mine = streamOf(`${orderPath(id)}/events`);
  stream = mine;
  const on = (name, act) => mine.addEventListener(name, (event) => mine === stream && act(JSON.parse(event.data)));
  let finished = 0;
  on("snapshot", (order) => {
    finished = 0; // after a gap all is told again
    unwritten = [];
    at("narration").replaceChildren();
    showOrder(order);
  });
  on("order.running", (order) => {
    finished = 0; // an attempt begins from nothing
    showOrder(order);
  });
  on("step.started", narrate);
  on("step.finished", (step) => {
    finished += 1;
    narrate(step);
    showSteps({ ...shown.progress, steps_done: shown.done ? shown.progress.steps_done : finished });
  });
  on("progress", showSteps); // in place of the steps, for orders that have very many
  for (const status of END_STATES) {
    on(`order.${status}`, (order) => {
      mine.close();
      stream = null;
      showOrder(order);
      tell("recent-error", refresh);
    });
  }
  // A dropped connection is retried by the browser; closed means that there is nothing more to tell.
  mine.onerror = () => mine === stream && mine.readyState === EventSource.CLOSED && (stream = null);
}

function showOrder(order) {
  // Answers may overtake each other: an ended order never becomes active again on screen.
  if (shown?.done && !order.done) return;
  const ended = order.done && !shown?.done;
  shown = order;
  at("selected").hidden = false;
  at("selected-id").textContent = order.id;
  showStatus(at("selected-status"), order.status);
  at("selected-what").textContent = whatOf(order);
  showSteps(order.progress);
  at("cancel").disabled = order.done;
  at("selected-json").href = orderPath(order.id);
  at("selected-csv").href = `${orderPath(order.id)}/steps?format=csv`;
  at("selected-report").href = `${orderPath(order.id)}/report?format=text`;
  at("selected-report").hidden = !order.done;
  at("selected-trace").href = `${orderPath(order.id)}/trace/open`;
  at("selected-error").textContent = order.error ? sentence(order.error) : "";
  at("selected-facts").replaceChildren(...factsOf(order).map((fact) => group("div", ["dt", "dd"], fact)));
  if (ended && order.started_at) tell("select-error", async () => {
    const picture = await address(`${orderPath(order.id)}/timeline?format=svg`);
    if (selectedId === order.id) at("timeline").src = picture;
  });
}

function showSteps({ steps_done: done, steps_total: total }) {
  showProgress("selected-progress", done, total);
  at("selected-steps").textContent = `${done} of ${total}`;
}

const TIMES = { queue: "In queue", makespan: "Makespan", mean_dish: "Mean dish", p95_dish: "p95 dish", cpu: "CPU" };

function factsOf({ timings, result, setup, ...order }) {
  const facts = Object.entries(TIMES).map(([key, name]) => [`${name} (ms)`, number(timings?.[`${key}_ms`])]);
  facts.push(["Orders beside it", number(order.concurrent_orders)], ["Setup", pairs(setup) || "–"]);
  if (pairs(order.labels)) facts.push(["Labels", pairs(order.labels)]);
  const values = Object.entries(result?.values ?? {}).map(([step, value]) => [`Value of ${step}`, value ?? "differs"]);
  return [...facts, ...values];
}

// Lines are written once per frame: an order may send thousands of events a second.
function narrate({ narration }) {
  if (!narration) return;
  if (unwritten.length === 0) requestAnimationFrame(writeNarration);
  unwritten = [...unwritten, narration].slice(-NARRATION_LINES);
}

function writeNarration() {
  const list = at("narration");
  list.append(...unwritten.splice(0).map((line) => element("li", line)));
  while (list.children.length > NARRATION_LINES) list.firstChild.remove();
  list.scrollTop = list.scrollHeight;
}

// Comparisons -------------------------------------------------------------------------------------------------------
async function compare() {
  comparisonId = ""; // from here on, answers about an earlier one are too late
  at("comparison").hidden = true;
  const work = { io_ms: whole("compare-io-ms"), cpu_ms: whole("compare-cpu-ms"), dishes: whole("compare-dishes") };
  const asked = { work, line_up: at("compare-line-up").value, repeats: whole("compare-repeats") };
  await followComparison((await call("/comparisons", asked)).id);
}

async function followComparison(id) {
  comparisonId = id;
  while (comparisonId === id) {
    const comparison = await call(`/comparisons/${encodeURIComponent(id)}?wait=${COMPARISON_WAIT_S}`);
    if (comparisonId === id) showComparison(comparison);
    if (comparison.done) return;
  }
}

function showComparison({ status, progress, dishes, measured_dishes: measured, entries, verdict, ...comparison }) {
  at("comparison").hidden = false;
  showStatus(at("comparison-status"), status);
  showProgress("comparison-progress", progress.runs_done, progress.runs_total);
  const runs = `runs: ${progress.runs_done} of ${progress.runs_total}`;
  at("comparison-runs").textContent = `dishes: ${dishes}, measured with ${number(measured)} · ${runs}`;
  at("verdict").textContent = verdict?.text ?? comparison.error ?? "";
  at("advice").replaceChildren(...(comparison.recommendation?.text ?? []).map((line) => element("li", line)));
  at("comparison-rows").replaceChildren(...(entries ?? []).map((entry) => rowOfEntry(entry, verdict)));
}

function rowOfEntry({ rank, name, makespan_ms: makespan, ...entry }, verdict) {
  const cells = [number(rank), entry.error ? `${name}: ${entry.error}` : name, number(makespan?.median),
    `${number(makespan?.low)} to ${number(makespan?.high)}`,
    ...["mean_dish_ms", "p95_dish_ms", "cpu_ms"].map((key) => number(entry[key]?.median)),
    number(entry.peak_memory_bytes && entry.peak_memory_bytes.median / 1048576)];
  const row = group("tr", cells.map(() => "td"), cells);
  row.classList.toggle("winner", name === verdict?.winner);
  return row;
}

// Start -------------------------------------------------------------------------------------------------------------
const placeOrder = async () => select((await call("/orders", orderFromForm())).id);
for (const [name, action] of [["order", placeOrder], ["compare", compare]]) {
  at(`${name}-form`).addEventListener("submit", (event) => {
    event.preventDefault();
    tell(`${name}-error`, action);
  });
}
at("recent").addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button) tell("select-error", () => select(button.dataset.order));
});
for (const id of ["work", "models"]) at(id).addEventListener("change", adaptForm);
at("cancel").addEventListener("click", () => tell("select-error", () => call(`${orderPath(selectedId)}/cancel`, null)));
at("timeline").addEventListener("load", () => (at("timeline").hidden = false));

tell("order-error", fillForm);
tell("compare-error", async () => {
  const { data } = await call("/comparisons?limit=1");
  if (data.length > 0 && comparisonId === null) await followComparison(data[0].id);
});
if (/^#ord_[\w-]+$/.test(location.hash)) tell("select-error", () => select(location.hash.slice(1)));
keepRefreshing();
