// BullMQ over Redis; completed jobs are removed, which is less work than its default of keeping them.
"use strict";
const { Queue, Worker } = require("bullmq");
const { measure } = require("./measure.cjs");

const NAME = "nothing";
// Jobs of one addBulk call.
const BATCH = 500;
const connection = ({ address }) => ({ host: "127.0.0.1", port: address });
const opts = { removeOnComplete: true };

measure({
  async open(asked) {
    const queue = new Queue(NAME, { connection: connection(asked) });
    await queue.waitUntilReady();
    return {
      async bulk(jobs) {
        for (let first = 0; first < jobs; first += BATCH) {
          const ids = Array.from({ length: Math.min(BATCH, jobs - first) }, (_, n) => first + n);
          await queue.addBulk(ids.map((id) => ({ name: NAME, data: { id }, opts })));
        }
      },
      each: (id) => queue.add(NAME, { id }, opts),
      async isEmpty() {
        const counts = await queue.getJobCounts("waiting", "active", "delayed", "prioritized");
        return Object.values(counts).every((count) => count === 0);
      },
    };
  },
  async work(asked, done) {
    const worker = new Worker(NAME, async () => {}, { connection: connection(asked), concurrency: asked.concurrency });
    worker.on("completed", done);
    await worker.waitUntilReady();
  },
});
