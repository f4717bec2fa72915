// graphile-worker as its documentation tunes it: local queue of 500, completions batched without delay.
"use strict";
const { Pool } = require("pg");
const { run, runMigrations } = require("graphile-worker");
const { measure } = require("./measure.cjs");

const preset = ({ address, concurrency }) => ({
  worker: {
    connectionString: address,
    concurrentJobs: concurrency,
    maxPoolSize: concurrency + 1,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
});

measure({
  async open(asked) {
    await runMigrations({ preset: preset(asked) });
    const pool = new Pool({ connectionString: asked.address, max: 16 });
    await pool.query("select 1");
    return {
      // Its own documentation names this as the fastest way to add; one statement for all of them.
      bulk: (jobs) =>
        pool.query(`select count(*) from graphile_worker.add_jobs(array(
          select json_populate_record(null::graphile_worker.job_spec, json_build_object('identifier', 'nothing', 'payload', json_build_object('id', i)))
          from generate_series(1, ${jobs}) i))`),
      each: (id) => pool.query("select graphile_worker.add_job('nothing', $1::json)", [JSON.stringify({ id })]),
      async isEmpty() {
        const { rows } = await pool.query("select not exists (select from graphile_worker.jobs) as empty");
        return rows[0].empty;
      },
    };
  },
  work: (asked, done) => run({ preset: preset(asked), taskList: { nothing: async () => done() }, noHandleSignals: true }),
});
