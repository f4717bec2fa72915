// What both peers share: worker processes that count, one that adds, and a clock from the first add to the last
// completion. It knows neither queue; each tells it how to add, how to work, and how to see that nothing is left.
//
//   node PEER.cjs '{"address": ..., "jobs": 20000, "how": "each" | "bulk", "processes": 1, "concurrency": 24}'
"use strict";
const { fork } = require("node:child_process");

// Between two reports of a worker: what it adds to the measured time at most, twice.
const REPORT_MS = 5;
// How many adds are under way when jobs are added one by one: as many as the load on us has connections.
const ADDERS = 64;

function oneByOne(jobs, add) {
  let next = 0;
  const adder = async () => {
    while (next < jobs) await add(next++);
  };
  return Promise.all(Array.from({ length: ADDERS }, adder));
}

function workers(asked) {
  let done = 0;
  const children = Array.from({ length: asked.processes }, () =>
    fork(process.argv[1], [process.argv[2]], { env: { ...process.env, WORKS: "yes" } }),
  );
  const ready = children.map((child) => new Promise((resolve) => child.once("message", resolve)));
  const reached = (count) =>
    new Promise((resolve) => {
      for (const child of children)
        child.on("message", (more) => {
          done += more;
          if (done >= count) resolve();
        });
    });
  return { ready: Promise.all(ready), reached, end: () => children.forEach((child) => child.kill("SIGKILL")) };
}

async function work(peer, asked) {
  let done = 0;
  await peer.work(asked, () => done++);
  process.send(0);
  setInterval(() => {
    if (done) process.send(done);
    done = 0;
  }, REPORT_MS);
}

async function measure(peer) {
  const asked = JSON.parse(process.argv[2]);
  if (process.env.WORKS) return work(peer, asked);
  const queue = await peer.open(asked);
  const staff = workers(asked);
  await staff.ready;
  const finished = staff.reached(asked.jobs);
  const began = process.hrtime.bigint();
  await (asked.how === "bulk" ? queue.bulk(asked.jobs) : oneByOne(asked.jobs, queue.each));
  const added = process.hrtime.bigint();
  await finished;
  while (!(await queue.isEmpty()));
  const ended = process.hrtime.bigint();
  staff.end();
  console.log(JSON.stringify({ jobs: asked.jobs, add_s: Number(added - began) / 1e9, took_s: Number(ended - began) / 1e9 }));
  process.exit(0);
}

module.exports = { measure };
