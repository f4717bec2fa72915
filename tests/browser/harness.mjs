// harness.mjs: one Chromium for all browser tests, and what is held against every page in it: nothing may be asked from
// another host, and the page's own console must stay free of errors (Chromium reports violations of the
// Content-Security-Policy there). Deliberately no test framework and no retry: a flake is a bug to find.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ACTION_TIMEOUT_MS = 20_000; // chosen: far above what a loaded two-core machine needs for one step of a test
const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);
const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
  // The browser's own services pass by the interception below; without name resolution they reach nobody.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]",
];

const local = (address) => {
  const { protocol, hostname } = new URL(address);
  return protocol === "data:" || protocol === "blob:" || LOOPBACK.has(hostname);
};

export function baseUrl() {
  const given = process.env.BASE_URL;
  if (!given) throw new Error("BASE_URL must name the running service, as in BASE_URL=http://127.0.0.1:8080");
  if (!local(given)) throw new Error(`BASE_URL must be a loopback address, not ${given}`);
  return given.replace(/\/+$/, "");
}

// Runs `visit` with the address of a service of its own that asks for one of these keys, and ends that service.
export async function withKeys(keys, visit) {
  const binary = process.env.BINARY ?? fileURLToPath(new URL("../../target/release/pasta-fasta", import.meta.url));
  const env = { ...process.env, PASTA_FASTA_API_KEYS: keys };
  const service = spawn(binary, ["serve", "--bind", "127.0.0.1:0"], { env, stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(service, "exit");
  try {
    let said = "";
    while (!said.includes("/openapi.yaml)")) {
      const [some] = await Promise.race([once(service.stdout, "data"), ended.then(() => [null])]);
      if (some === null) throw new Error(`${binary} ended at once`);
      said += some;
    }
    await visit(/http:\S+?(?=\/\s)/.exec(said)[0]);
  } finally {
    service.kill();
    await ended;
  }
}

// Runs every test on a page of its own, prints one line for each, and returns whether all of them passed.
export async function runAll(tests) {
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });
  const counts = { passed: 0, failed: 0 };
  for (const { name, run } of tests) {
    const startedAt = performance.now();
    const complaints = await runOne(browser, run);
    counts[complaints.length === 0 ? "passed" : "failed"] += 1;
    const verdict = complaints.length === 0 ? "ok  " : "FAIL";
    console.log(`${verdict} ${name} (${Math.round(performance.now() - startedAt)} ms)`);
    for (const complaint of complaints) console.log(`     ${complaint.replaceAll("\n", "\n     ")}`);
  }
  await browser.close();
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed === 0;
}

async function runOne(browser, run) {
  const context = await browser.newContext({ baseURL: baseUrl(), viewport: { width: 1100, height: 900 } });
  context.setDefaultTimeout(ACTION_TIMEOUT_MS);
  const complaints = [];
  // A test may expect refusals: Chromium writes each answer of 400 and above to the console.
  const expected = { statuses: [] };
  await context.route("**/*", (route) => {
    const address = route.request().url();
    if (local(address)) return route.continue();
    complaints.push(`asked another host: ${address}`);
    return route.abort();
  });
  context.on("weberror", (error) => complaints.push(`uncaught: ${error.error().message}`));
  context.on("console", (message) => {
    const refusal = /the server responded with a status of (\d+)/.exec(message.text());
    if (refusal && expected.statuses.includes(Number(refusal[1]))) return;
    if (message.type() === "error") complaints.push(`console: ${message.text()} (${message.location().url})`);
  });
  try {
    await run(await context.newPage(), expected);
  } catch (error) {
    complaints.unshift(error.message);
  }
  await context.close();
  return complaints;
}
