// run.mjs: what a visitor does in the browser, against the running service that BASE_URL names.
// Deliberately not a test of the API's answers, which tests/it holds: here a value matters only once it is on screen.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { baseUrl, runAll, withKeys } from "./harness.mjs";

const COMPARISON_TIMEOUT_MS = 120_000; // a comparison first waits until the house has drained, 60 s at most
const HOSTILE_LABEL = `<img src=x onerror="document.title='owned'">`; // at most 63 characters
const HOSTILE = `${HOSTILE_LABEL}<script>document.title='owned'</script>`;
const BASE = baseUrl();

// Pieces of a visit -------------------------------------------------------------------------------------------------

async function openPage(page) {
  const answer = await page.goto("/");
  assert.equal(answer.status(), 200);
  await page.locator("#models option").first().waitFor({ state: "attached" });
  return answer;
}

async function place(page, { model, io_ms, cpu_ms, dishes }) {
  await page.getByLabel("Model", { exact: true }).selectOption(model);
  const form = page.getByTestId("order-form");
  await form.getByLabel("I/O per dish (ms)").fill(String(io_ms));
  await form.getByLabel("CPU per dish (ms)").fill(String(cpu_ms));
  await form.getByLabel("Dishes").fill(String(dishes));
  const answer = page.waitForResponse((it) => it.request().method() === "POST" && it.url().endsWith("/orders"));
  await page.getByRole("button", { name: "Place order" }).click();
  const order = await (await answer).json();
  await shows(page, "order-id", order.id);
  return order;
}

const shows = (page, testId, text, options) =>
  page.getByTestId(testId).filter({ hasText: text }).waitFor({ state: "visible", ...options });

async function post(path, order) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(BASE + path, { method: "POST", headers, body: JSON.stringify(order) });
  const body = await answer.json();
  assert.ok(answer.ok, JSON.stringify(body));
  return body;
}

const submit = (order) => post("/orders?wait=20", order);

async function nothingRan(page) {
  assert.equal(await page.title(), "pasta-fasta");
  assert.equal(await page.locator("img[src=x], main script").count(), 0, "hostile text became markup");
}

// The tests ---------------------------------------------------------------------------------------------------------

const tests = [];
const test = (name, run) => tests.push({ name, run });

test("the docs place an order with Try it out", async (page) => {
  await page.goto("/docs");
  const operation = page.locator("[id^=operations-][id$=-placeOrder]");
  await operation.locator(".opblock-summary-control").click();
  // The docs may come with Try it out switched on; then the same button switches it off.
  const tryIt = operation.locator(".try-out__btn");
  if ((await tryIt.textContent()).trim() === "Try it out") await tryIt.click();
  await operation.locator("textarea.body-param__text").fill('{"model":"asyncio"}');
  await operation.getByRole("button", { name: "Execute" }).click();
  const status = operation.locator(".live-responses-table .response .response-col_status");
  await status.filter({ hasText: /^\s*202/ }).waitFor();
});

test("the page comes with a strict policy", async (page) => {
  const policy = (await openPage(page)).headers()["content-security-policy"] ?? "";
  for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) {
    assert.ok(policy.includes(rule), `${rule} is missing in: ${policy}`);
  }
  assert.doesNotMatch(policy, /unsafe|https?:|\*/);
});

for (const model of ["sequential", "asyncio", "multithreading", "multiprocessing"]) {
  test(`an order of ${model} succeeds and shows its timeline`, async (page) => {
    await openPage(page);
    await place(page, { model, io_ms: 20, cpu_ms: 2, dishes: 2 });
    await shows(page, "order-what", model);
    await shows(page, "order-status", "succeeded");
    await shows(page, "order-steps", /^4 of 4$/);
    await page.getByTestId("narration").locator("li").first().waitFor();
    const timeline = page.getByTestId("timeline");
    await timeline.waitFor({ state: "visible" });
    assert.ok(await timeline.evaluate((picture) => picture.complete && picture.naturalWidth > 0), "an empty picture");
  });
}

test("a running order is narrated live and can be canceled", async (page) => {
  await openPage(page);
  await place(page, { model: "sequential", io_ms: 300, cpu_ms: 1, dishes: 1000 });
  await shows(page, "order-status", "running");
  await page.getByTestId("narration").locator("li").filter({ hasText: "Order 1: io done." }).waitFor();
  await shows(page, "order-steps", /^[1-9]\d* of 2000$/);
  await shows(page, "order-status", "running");
  await page.getByRole("button", { name: "Cancel order" }).click();
  await shows(page, "order-status", "canceled");
  await page.getByTestId("recent-order").first().filter({ hasText: "canceled" }).waitFor();
  assert.ok(await page.getByRole("button", { name: "Cancel order" }).isDisabled());
});

test("only one event stream is open at a time", async (page) => {
  const open = new Set();
  page.on("request", (request) => request.resourceType() === "eventsource" && open.add(request));
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => open.delete(request));
  await openPage(page);
  const placed = [];
  for (let count = 0; count < 3; count += 1) {
    placed.push(await place(page, { model: "asyncio", io_ms: 60_000, cpu_ms: 0, dishes: 1 }));
    await shows(page, "order-status", "running");
    assert.ok(open.size <= 1, `${open.size} streams are open`);
  }
  for (const { id } of placed) await fetch(`${BASE}/orders/${id}/cancel`, { method: "POST" });
  await shows(page, "order-status", "canceled");
});

test("an order has an address of its own", async (page) => {
  const order = await submit({ model: "sequential", io_ms: 1, cpu_ms: 1 });
  await page.goto(`/#${order.id}`);
  await shows(page, "order-id", order.id);
  await shows(page, "order-status", "succeeded");
  await page.getByTestId("narration").locator("li").first().waitFor();
});

test("presets and recipes are offered and ask only what they leave open", async (page) => {
  await openPage(page);
  await page.getByTestId("work").selectOption("seed-threads");
  assert.ok(await page.getByTestId("models").isDisabled());
  assert.ok(await page.getByTestId("io-ms").isDisabled());
  await page.getByTestId("work").selectOption("pasta");
  assert.ok(await page.getByTestId("models").isEnabled());
  assert.ok(await page.getByTestId("io-ms").isDisabled());
});

test("a comparison ends in a table and a verdict", async (page) => {
  await openPage(page);
  const form = page.getByTestId("compare-form");
  await form.getByLabel("I/O per dish (ms)").fill("5");
  await form.getByLabel("CPU per dish (ms)").fill("1");
  await form.getByLabel("Dishes at a time").fill("4");
  await form.getByLabel("Repeats").fill("3");
  await page.getByRole("button", { name: "Compare" }).click();
  await shows(page, "verdict", /\w+/, { timeout: COMPARISON_TIMEOUT_MS });
  await shows(page, "advice", /^Take /);
  await shows(page, "comparison-status", "succeeded");
  assert.ok((await page.getByTestId("comparison-table").locator("tbody tr").count()) >= 2);
  // The newest comparison is there again after a reload, whoever asked for it.
  await page.reload();
  await shows(page, "verdict", /\w+/, { timeout: COMPARISON_TIMEOUT_MS });
});

test("hostile names are shown as text", async (page) => {
  const recipe = { name: HOSTILE, steps: [{ name: HOSTILE, work: { kind: "wait", ms: 1 } }] };
  const order = await submit({ model: "asyncio", recipe, labels: { [HOSTILE_LABEL]: HOSTILE_LABEL } });
  await openPage(page);
  const row = page.locator(`[data-order="${order.id}"]`);
  const text = await row.textContent();
  assert.ok(text.includes(HOSTILE) && text.includes(`${HOSTILE_LABEL}=${HOSTILE_LABEL}`), text);
  await row.click();
  await shows(page, "order-what", HOSTILE);
  await page.getByTestId("narration").locator("li").filter({ hasText: HOSTILE }).first().waitFor();
  await page.getByTestId("timeline").waitFor({ state: "visible" });
  await nothingRan(page);
});

test("a failed order says why", async (page) => {
  const order = await submit({ model: "sequential", io_ms: 10_000, timeout_ms: 50 });
  await page.goto(`/#${order.id}`);
  await shows(page, "order-status", "failed");
  await shows(page, "selected-error", /timeout/);
});

test("an order of very many steps shows its progress without telling each", async (page) => {
  const recipe = { name: "n", steps: [{ name: "n", work: { kind: "wait", ms: 1 } }] };
  const order = await post("/orders", { model: "sequential", recipe, dishes: 20_000 });
  await page.goto(`/#${order.id}`);
  await shows(page, "order-steps", /^[1-9]\d* of 20000$/);
  await page.getByRole("button", { name: "Cancel order" }).click();
  await shows(page, "order-status", "canceled");
});

test("a refusal is shown as text, with what it points at", async (page, expected) => {
  expected.statuses = [400, 422];
  await openPage(page);
  await page.getByLabel("Setup (JSON object, may be empty)").fill(JSON.stringify({ [HOSTILE]: HOSTILE }));
  await page.getByRole("button", { name: "Place order" }).click();
  await shows(page, "order-error", /\((400|422)\)/);
  await nothingRan(page);
});

test("a service with keys asks for one, and the page works with it", async (page, expected) => {
  const key = "a-key-of-this-test-0123";
  expected.statuses = [401];
  await withKeys(`visitor orders:read,orders:write ${key}`, async (base) => {
    const addresses = [];
    page.on("request", (request) => addresses.push(request.url()));
    await page.goto(base);
    for (const given of ["not-a-key-of-this-test", key]) {
      await page.getByTestId("key-form").waitFor({ state: "visible" });
      await page.getByLabel("API key").fill(given);
      await page.getByRole("button", { name: "Use this key" }).click();
      await page.getByTestId("forget-key").waitFor({ state: "visible" });
    }
    await shows(page, "house", /0 running/);
    await page.getByTestId("models").selectOption("asyncio");
    const order = await place(page, { model: "asyncio", io_ms: 300, cpu_ms: 2, dishes: 2 });
    await page.getByTestId("narration").locator("li").first().waitFor();
    await shows(page, "order-status", "succeeded");
    await page.getByTestId("timeline").waitFor({ state: "visible" });
    const download = page.waitForEvent("download");
    await page.getByRole("link", { name: "steps as CSV" }).click();
    assert.equal(await (await download).failure(), null);
    assert.ok(await page.getByTestId("key-form").isHidden());
    // Kept for the tab, not beyond: another tab has to be told again.
    await page.reload();
    await page.locator(`[data-order="${order.id}"]`).waitFor();
    const other = await page.context().newPage();
    await other.goto(base);
    await other.getByTestId("key-form").waitFor({ state: "visible" });
    await other.close();
    await page.getByTestId("forget-key").click();
    await page.getByTestId("key-form").waitFor({ state: "visible" });
    assert.ok(!addresses.some((address) => address.includes(key)), "the key stood in an address");
    // The page looks around now and then, and the service is about to end.
    await page.goto("about:blank");
  });
});

test("every field has a name and nothing is wider than a phone", async (page) => {
  await page.setViewportSize({ width: 360, height: 740 });
  const order = await submit({ model: "asyncio", io_ms: 1, cpu_ms: 1, labels: { note: "x".repeat(60) } });
  await page.goto(`/#${order.id}`);
  await page.getByTestId("timeline").waitFor({ state: "visible" });
  const fields = page.locator("input, select, button, progress");
  for (const field of await fields.all()) {
    const name = await field.evaluate((it) => it.labels?.[0]?.textContent || it.ariaLabel || it.textContent);
    assert.ok(name.trim(), `no name: ${await field.evaluate((it) => it.outerHTML)}`);
  }
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 360, `the page is ${width} px wide`);
});

test("a trace is handed to the Perfetto that asks for it, and to no other window", async (page) => {
  // A window that does what ui.perfetto.dev does: it answers PING, and takes one trace.
  const listener = `<script>addEventListener("message", ({ data, source, origin }) => {
    if (data === "PING") source.postMessage("PONG", origin);
    if (data.perfetto) document.title = data.perfetto.fileName + " " + new TextDecoder().decode(data.perfetto.buffer);
  })</script>`;
  const answer = (_, response) => response.setHeader("content-type", "text/html").end(listener);
  const perfetto = createServer(answer).listen(0, "127.0.0.1");
  await once(perfetto, "listening");
  try {
    const order = await submit({ model: "asyncio", io_ms: 1, cpu_ms: 1 });
    await page.goto(`/#${order.id}`);
    await page.getByTestId("selected-report").waitFor({ state: "visible" });
    await page.getByTestId("selected-trace").click();
    await page.waitForURL(`**${order.links.trace}/open`);
    const ui = `http://127.0.0.1:${perfetto.address().port}`;
    await page.goto(`${order.links.trace}/open?ui=${ui}`);
    const opened = page.waitForEvent("popup");
    await page.getByRole("button", { name: "Open the trace" }).click();
    await shows(page, "trace-status", "Handed over.");
    const window = await opened;
    await window.waitForFunction(() => document.title !== "");
    const handed = await window.title();
    const direct = await (await fetch(BASE + order.links.trace)).text();
    assert.equal(handed, `${order.id}.json ${direct.replaceAll(/\s+/g, " ").trim()}`);
  } finally {
    perfetto.close();
    perfetto.closeAllConnections();
  }
});

test("dark and light follow the system", async (page) => {
  const ground = async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  };
  await openPage(page);
  assert.notEqual(await ground("dark"), await ground("light"));
});

process.exitCode = (await runAll(tests)) ? 0 : 1;
