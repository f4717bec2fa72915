// Orders under load with k6: each iteration submits one order, waits for its end and checks how it ended.
// Does not retry a refused order (a retry would change the arrival rate that is being tested), does not cancel,
// and reads no event stream: k6 has none built in.
//
//   k6 run load/k6.js                                        closed loop, 8 virtual users, every model in turn
//   k6 run -e LOOP=open -e RATE=50 -e MODEL=asyncio load/k6.js
import http from 'k6/http';
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';

const MODELS = ['sequential', 'asyncio', 'multithreading', 'multiprocessing'];

const env = (name, fallback) => __ENV[name] || fallback;

// Integers only, as the service wants them; a typing error must not become a load of refused orders.
function whole(name, fallback, lowest, highest) {
  const text = env(name, String(fallback));
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < lowest || value > highest) {
    throw new Error(`${name}=${text}: want a whole number from ${lowest} to ${highest}`);
  }
  return value;
}

function oneOf(name, fallback, allowed) {
  const value = env(name, fallback);
  if (!allowed.includes(value)) throw new Error(`${name}=${value}: want one of ${allowed.join(', ')}`);
  return value;
}

const BASE_URL = env('BASE_URL', 'http://127.0.0.1:8080').replace(/\/+$/, '');
const LOOP = oneOf('LOOP', 'closed', ['open', 'closed']);
const CHOSEN = env('MODEL', 'all') === 'all' ? MODELS : env('MODEL', 'all').split(',');
CHOSEN.forEach((model) => {
  if (!MODELS.includes(model)) throw new Error(`MODEL=${model}: want all or some of ${MODELS.join(',')}`);
});
const IO_MS = whole('IO_MS', 60, 0, 3600000);
const CPU_MS = whole('CPU_MS', 8, 0, 3600000);
const DISHES = whole('DISHES', 1, 1, 3000000);
const RATE = whole('RATE', 20, 1, 1000000); // orders started per second, all models together
const CONNECTIONS = whole('CONNECTIONS', LOOP === 'open' ? 200 : 8, 1, 100000);
const WAIT_S = whole('WAIT_S', 30, 1, 60); // the service refuses a wait above 60 s
const ORDER_DEADLINE_S = whole('ORDER_DEADLINE_S', 120, 1, 86400);
const DURATION = env('DURATION', '10s');

const orderMs = new Trend('order_ms', true); // what the client saw, from submit to the ended order
const queueMs = new Trend('queue_ms', true); // the service's own account
const makespanMs = new Trend('makespan_ms', true);
const restMs = new Trend('rest_ms', true); // order_ms less the two above: HTTP, storing, the notice of the end
const submitted = new Counter('orders_submitted');
const succeeded = new Counter('orders_succeeded');
const failed = new Counter('orders_failed');
const refused = new Counter('orders_refused');
const errors = new Counter('orders_errors');

// Time a request may take: the wait that was asked for plus slack for a service that is late.
const REQUEST_TIMEOUT = `${WAIT_S + 30}s`;
const acceptedOrRefused = http.expectedStatuses(200, 202);

function scenario() {
  const common = { gracefulStop: `${ORDER_DEADLINE_S}s` }; // let every order that was submitted end
  if (LOOP === 'closed') {
    return { ...common, executor: 'constant-vus', vus: CONNECTIONS, duration: DURATION };
  }
  return {
    ...common,
    executor: 'constant-arrival-rate',
    rate: RATE,
    timeUnit: '1s',
    duration: DURATION,
    // All of them up front: a virtual user made during the test costs the generator time just when it is late.
    preAllocatedVUs: CONNECTIONS,
    maxVUs: CONNECTIONS,
  };
}

const thresholds = {
  checks: ['rate==1'],
  orders_failed: ['count==0'],
  orders_refused: ['count==0'],
  orders_errors: ['count==0'],
};
// An arrival that found no free virtual user was never sent: the loop was not open any more, so the run is void.
if (LOOP === 'open') thresholds.dropped_iterations = ['count==0'];
// k6 keeps a figure per tag only where a threshold names it; these always hold.
for (const model of CHOSEN) {
  for (const trend of ['order_ms', 'queue_ms', 'makespan_ms', 'rest_ms']) {
    thresholds[`${trend}{model:${model}}`] = ['max>-1000000000'];
  }
}

export const options = {
  scenarios: { orders: scenario() },
  thresholds,
  summaryTrendStats: ['count', 'med', 'p(95)', 'p(99)', 'max'],
};

function body(model) {
  const order = { model, dishes: DISHES };
  if (IO_MS === 0 && CPU_MS === 0) {
    order.recipe = { name: 'n', steps: [{ name: 'n', work: { kind: 'wait', ms: 0 } }] };
  } else {
    order.io_ms = IO_MS;
    order.cpu_ms = CPU_MS;
  }
  return JSON.stringify(order);
}

const BODIES = Object.fromEntries(CHOSEN.map((model) => [model, body(model)]));

function note(counter, model, text) {
  counter.add(1, { model });
  console.warn(`${model}: ${text}`);
}

export default function () {
  // The iteration number of the whole scenario, so the models take turns across all virtual users.
  const model = CHOSEN[exec.scenario.iterationInTest % CHOSEN.length];
  const tags = { model, name: 'POST /orders' };
  submitted.add(1, { model });
  let response = http.post(`${BASE_URL}/orders?wait=${WAIT_S}`, BODIES[model], {
    headers: { 'Content-Type': 'application/json' },
    tags,
    timeout: REQUEST_TIMEOUT,
    responseCallback: acceptedOrRefused,
  });
  let clientMs = response.timings.duration;
  if (response.status === 429 || response.status === 503) {
    const retryAfterS = Number(response.headers['Retry-After']) || 1;
    note(refused, model, `refused with ${response.status}, Retry-After ${retryAfterS} s`);
    // A closed loop obeys; an open one must not, its arrivals belong to the timetable.
    if (LOOP === 'closed') sleep(retryAfterS);
    return;
  }
  if (!check(response, { 'order accepted': (r) => r.status === 200 || r.status === 202 }, { model })) {
    note(errors, model, `POST /orders answered ${response.status} ${response.error} ${response.body}`);
    if (LOOP === 'closed') sleep(1); // nothing listens, or it is broken: do not spin
    return;
  }
  let order = response.json();
  const url = `${BASE_URL}/orders/${order.id}?wait=${WAIT_S}`;
  while (!order.done) {
    if (clientMs > ORDER_DEADLINE_S * 1000) {
      note(errors, model, `${order.id} still ${order.status} after ${ORDER_DEADLINE_S} s`);
      return;
    }
    response = http.get(url, { tags: { model, name: 'GET /orders/{id}' }, timeout: REQUEST_TIMEOUT });
    clientMs += response.timings.duration;
    if (!check(response, { 'order found': (r) => r.status === 200 }, { model })) {
      note(errors, model, `GET ${url} answered ${response.status} ${response.error} ${response.body}`);
      return;
    }
    order = response.json();
  }
  // A failed order is an HTTP 200: only the body, or X-Order-Status, tells.
  const ended = check(order, { 'order succeeded': (o) => o.status === 'succeeded' }, { model });
  if (!ended) {
    note(failed, model, `${order.id} ended ${order.status}: ${JSON.stringify(order.error)}`);
    return;
  }
  succeeded.add(1, { model });
  orderMs.add(clientMs, { model });
  queueMs.add(order.timings.queue_ms, { model });
  makespanMs.add(order.timings.makespan_ms, { model });
  restMs.add(clientMs - order.timings.queue_ms - order.timings.makespan_ms, { model });
}

export function handleSummary(data) {
  const count = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  const cell = (value) => (value === undefined ? '-' : value.toFixed(2)).padStart(10);
  const lines = ['', `${LOOP} loop, times in ms`, ''];
  lines.push(`${'model'.padEnd(16)}${'figure'.padEnd(12)}${['count', 'p50', 'p95', 'p99', 'max'].map((h) => h.padStart(10)).join('')}`);
  for (const model of CHOSEN) {
    for (const trend of ['order_ms', 'queue_ms', 'makespan_ms', 'rest_ms']) {
      const metric = data.metrics[`${trend}{model:${model}}`];
      const v = metric ? metric.values : {};
      const figures = [v.med, v['p(95)'], v['p(99)'], v.max].map(cell).join('');
      lines.push(`${model.padEnd(16)}${trend.padEnd(12)}${String(v.count || 0).padStart(10)}${figures}`);
    }
  }
  const total = count('orders_submitted');
  const ends = ['succeeded', 'failed', 'refused', 'errors'].map((name) => [name, count(`orders_${name}`)]);
  const unfinished = total - ends.reduce((sum, [, n]) => sum + n, 0);
  const dropped = count('dropped_iterations');
  if (dropped > 0) {
    lines.push('', `${dropped} arrivals were never sent: no virtual user was free. Raise CONNECTIONS or lower RATE; this run says nothing.`);
  }
  lines.push('', `orders: submitted=${total} ${ends.map(([name, n]) => `${name}=${n}`).join(' ')} unfinished=${unfinished}`, '');
  return { stdout: lines.join('\n') };
}
