// Times PouchDB replicating through two URLs in turn, and prints a JSON list of pairs of seconds: [[direct, gate], …].
//
//   node replicate.mjs MODULES DIRECT GATE TOKEN PAIRS DOCUMENTS
//
// MODULES is the folder whose node_modules hold PouchDB (the stand-in database's own); DIRECT and GATE are base URLs of the same database server.
// One timing is a pull of DOCUMENTS documents into an empty database in memory and a push of them into an empty
// database of the server. A pair is the mean of two timings of each kind, in the order a b b a, so that what drifts
// (heaps, caches, the machine) meets both alike; the next pair begins with the other. The first pair is a warm-up.
// Start it with --expose-gc: then no timing pays for another's garbage on this side.

import { createRequire } from 'node:module';
import path from 'node:path';

const [modules, direct, gate, token, pairs, documents] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), 'package.json'));
const PouchDB = require('pouchdb-core')
  .plugin(require('pouchdb-adapter-memory'))
  .plugin(require('pouchdb-adapter-http'))
  .plugin(require('pouchdb-replication'));

let serial = 0;

// `create` makes the database if it is not there, which costs requests: never within a timing.
function remote(base, name, create = false) {
  const fetch = (url, options) => {
    if (base === gate) options.headers.set('Authorization', `Bearer ${token}`);
    return PouchDB.fetch(url, options);
  };
  return new PouchDB(`${base}/${name}`, { fetch, skip_setup: !create });
}

async function fill() {
  const source = remote(direct, 'source', true);
  for (let first = 0; first < documents; first += 100) {
    const rows = Array.from({ length: Math.min(100, documents - first) }, (_, offset) => ({
      _id: `note:${String(first + offset).padStart(6, '0')}`,
      type: 'note',
      title: `Note ${first + offset}`,
      body: 'Milk, bread, apples, coffee and something for Sunday. '.repeat(8),
      tags: ['home', 'list'],
    }));
    await source.bulkDocs(rows);
  }
}

async function timed(base) {
  const number = ++serial;
  const local = new PouchDB(`local-${number}`, { adapter: 'memory' });
  const pushed = `pushed-${number}`;
  await remote(direct, pushed, true).info();
  globalThis.gc?.();
  const start = process.hrtime.bigint();
  const pull = await local.replicate.from(remote(base, 'source'));
  const push = await local.replicate.to(remote(base, pushed));
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  for (const result of [pull, push]) {
    if (!result.ok || result.docs_written !== Number(documents)) throw new Error(`replication fell short: ${JSON.stringify(result)}`);
  }
  const { doc_count: count } = await remote(direct, pushed).info();
  if (count !== Number(documents)) throw new Error(`${count} documents arrived`);
  await local.destroy();
  await remote(direct, pushed).destroy();
  return seconds;
}

await fill();
const taken = [];
for (let pair = 0; pair <= Number(pairs); pair++) {
  const seconds = { [direct]: 0, [gate]: 0 };
  const [first, second] = pair % 2 ? [gate, direct] : [direct, gate];
  for (const base of [first, second, second, first]) seconds[base] += await timed(base);
  if (pair) taken.push([seconds[direct] / 2, seconds[gate] / 2]);
}
console.log(JSON.stringify(taken));
process.exit(0);
