// Hands the trace of the order whose page this is to Perfetto, as its documentation on deep linking asks: open a window,
// say PING until it says PONG, then post the bytes. It deliberately runs at a click only, since browsers refuse windows
// that nobody asked for, and talks to no window but the one it opened. (No function here is called open: that is window.open.)
"use strict";

const PERFETTO = "https://ui.perfetto.dev";
const PING_EVERY_MS = 50;

const trace = location.pathname.replace(/\/open$/, "");
const order = trace.split("/")[2];
// The service lets only loopback addresses through.
const ui = new URLSearchParams(location.search).get("ui") ?? PERFETTO;
const part = (id) => document.querySelector(`[data-testid=${id}]`);
const say = (text) => { part("trace-status").textContent = text; };

function answered(target) {
  return new Promise((resolve) => {
    const ping = setInterval(() => target.postMessage("PING", ui), PING_EVERY_MS);
    addEventListener("message", function hear(event) {
      if (event.source !== target || event.origin !== ui || event.data !== "PONG") return;
      clearInterval(ping);
      removeEventListener("message", hear);
      resolve();
    });
  });
}

async function handOver() {
  const target = window.open(ui);
  if (!target) return say("The browser did not allow a new window.");
  say("Reading the trace...");
  const answer = await fetch(trace);
  if (!answer.ok) return say(`The trace could not be read (${answer.status}).`);
  const buffer = await answer.arrayBuffer();
  say(`Waiting for ${ui}...`);
  await answered(target);
  target.postMessage({ perfetto: { buffer, title: order, fileName: `${order}.json` } }, ui);
  say("Handed over.");
}

part("download-trace").href = trace;
part("download-trace").download = `${order}.json`;
part("open-trace").addEventListener("click", () => handOver().catch((error) => say(`It failed: ${error.message}`)));
