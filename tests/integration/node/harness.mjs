// What every script here stands on: the talk with pytest, and PouchDB as an app would set it up.
//
// A script is started with one argument, a JSON object. It talks in JSON lines: `{"ask": …}` on standard output is
// answered by one line on standard input; `{"result": …}` is its last word. Anything else that it writes is for people.

import readline from 'node:readline';
import PouchDB from 'pouchdb-core';
import memory from 'pouchdb-adapter-memory';
import httpAdapter from 'pouchdb-adapter-http';
import replication from 'pouchdb-replication';
import mapreduce from 'pouchdb-mapreduce';
import find from 'pouchdb-find';

PouchDB.plugin(memory).plugin(httpAdapter).plugin(replication).plugin(mapreduce).plugin(find);

// PouchDB 9 asks a database for its size after each batch and forgets to catch the failure of that. In a browser it is
// a line in the console; here it would end the program.
process.on('unhandledRejection', () => {});

export const config = JSON.parse(process.argv[2]);
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let asking = Promise.resolve();

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

// One question at a time: the answers come in the order of the questions.
export function ask(question) {
  asking = asking.then(async () => {
    say({ ask: question });
    return JSON.parse((await answers.next()).value);
  });
  return asking;
}

export function run(scenario) {
  scenario().then(
    (result) => {
      say({ result });
      process.exit(0);
    },
    (error) => {
      say({ error: String((error && error.stack) || JSON.stringify(error)), detail: error });
      process.exit(1);
    },
  );
}

let token = config.token;
let renewal = null;
export const seen = { refused: 0, failed: 0, requests: 0 };

// As an app does it: many requests that were refused together are worth one new token.
function renew(refused) {
  if (refused !== token) return Promise.resolve();
  renewal ??= ask('token').then((fresh) => {
    token = fresh;
    renewal = null;
  });
  return renewal;
}

// Node's own fetch, which keeps connections as a browser does. PouchDB brings node-fetch 2, which closes each one, or,
// given an agent that keeps them, takes whole chunked answers for broken.
async function send(url, { headers, ...options }) {
  const response = await fetch(url, { ...options, headers: Object.fromEntries(headers) });
  response.buffer = async () => Buffer.from(await response.arrayBuffer());
  return response;
}

async function fetchWithToken(url, options) {
  for (let attempt = 0; ; attempt += 1) {
    const shown = token;
    if (shown) options.headers.set('Authorization', `Bearer ${shown}`);
    seen.requests += 1;
    let response;
    try {
      response = await send(url, options);
    } catch (error) {
      if (error.name !== 'AbortError') seen.failed += 1; // PouchDB gives up requests of its own
      throw error;
    }
    if (response.status !== 401 || attempt === 2) return response;
    seen.refused += 1;
    await response.text();
    await renew(shown);
  }
}

export function remote(name) {
  return new PouchDB(`${config.gate}/${encodeURIComponent(name)}`, { fetch: fetchWithToken });
}

export function local(name) {
  return new PouchDB(name, { adapter: 'memory' });
}

// The revisions of a live replication that goes on until it is cancelled; every word it says about trouble is kept.
export function live(replication) {
  const trouble = [];
  for (const event of ['error', 'denied']) replication.on(event, (what) => trouble.push({ event, what }));
  return {
    trouble,
    stop: () =>
      new Promise((resolve) => {
        replication.on('complete', resolve);
        replication.on('error', resolve);
        replication.cancel();
      }),
  };
}

export async function until(condition, what, seconds = 40) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
