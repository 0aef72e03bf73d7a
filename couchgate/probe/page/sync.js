'use strict';
// The traffic of the probe. The page asks the probe what to do (`tell`) and does it: live sync both ways with several
// databases of the server under test, in which both sides write. It loads nothing from anywhere else.

const PAGE = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16)).join('');
const DATABASES = 3; // a live sync holds a connection for each, and a browser opens six
const GONE = 60; // calls without an answer of the probe, two or so a second: it has gone

const waiting = new Set();
new Worker('ticks.js').onmessage = () => {
  for (const resolve of waiting) resolve();
  waiting.clear();
};

function tick() {
  return new Promise((resolve) => waiting.add(resolve));
}

async function pause(ticks) {
  for (let n = 0; n < ticks; n += 1) await tick();
}

class Run {
  constructor(task) {
    this.task = task;
    this.answered = 0;
    this.refused = 0;
    this.failed = 0;
    this.complaint = '';
    this.over = false;
    this.pairs = [];
    this.done = this.work();
  }

  fetch(url, options) {
    options.headers.set('Authorization', `Bearer ${this.task.token}`);
    return PouchDB.fetch(url, options).then(
      (response) => {
        this.answered += 1;
        if (response.status === 401 || response.status === 403 || response.status >= 500) {
          this.refused += 1;
          this.complaint = `${options.method || 'GET'} was answered ${response.status}`;
        }
        return response;
      },
      (error) => {
        if (error.name !== 'AbortError') this.failed += 1;
        throw error;
      },
    );
  }

  async work() {
    while (!this.over && !(await this.reached())) await pause(3);
    const all = [];
    for (let n = 0; n < DATABASES && !this.over; n += 1) all.push(this.sync(n));
    await Promise.all(all);
  }

  // The server may still be starting.
  reached() {
    return this.fetch(`${this.task.url}/`, { headers: new Headers() }).then(
      () => true,
      () => false,
    );
  }

  async sync(n) {
    const local = new PouchDB(`couchgate-probe-${PAGE}-${this.task.number}-${n}`, { auto_compaction: true });
    const remote = new PouchDB(`${this.task.url}/couchgate-probe-${n}`, { fetch: (...call) => this.fetch(...call) });
    const sync = local.sync(remote, { live: true, retry: true });
    sync.catch((error) => this.note(error));
    for (let round = 0; !this.over; round += 1) {
      await this.write(local, remote, n, round).catch((error) => this.note(error));
      await pause(2);
    }
    sync.cancel();
    // What is under way meets its database, and does not wait for one that is gone.
    await Promise.race([sync.catch(() => undefined), pause(15)]);
    await Promise.race([remote.destroy().catch(() => undefined), pause(30)]);
    await local.destroy().catch(() => undefined);
  }

  async write(local, remote, n, round) {
    const document = { _id: `${PAGE}-${this.task.number}-${n}-${round}`, round, text: 'couchgate probe '.repeat(40) };
    if (round % 5 === 4) {
      const data = new Blob(['x'.repeat(20000)], { type: 'text/plain' });
      document._attachments = { 'note.txt': { content_type: 'text/plain', data } };
    }
    await (round % 3 === 2 ? remote : local).put(document);
    if (round % 4 === 3) await remote.allDocs({ limit: 20, include_docs: true });
  }

  note(error) {
    if (!this.over) this.complaint = String(error.reason || error.message || error).slice(0, 150);
  }

  async stop() {
    this.over = true;
    await Promise.race([this.done.catch(() => undefined), pause(40)]); // a server that is stuck answers nothing
  }
}

async function tell(run) {
  const said = { page: PAGE, running: run ? run.task.number : null };
  if (run) {
    Object.assign(said, {
      answered: run.answered,
      refused: run.refused,
      failed: run.failed,
      complaint: run.complaint,
    });
  }
  const response = await fetch('tell', { method: 'POST', body: JSON.stringify(said) });
  return response.json();
}

function show(text) {
  document.getElementById('text').textContent = text;
}

async function main() {
  let run = null;
  let ending = null;
  for (let silent = 0; silent < GONE; ) {
    try {
      const { task, text, over } = await tell(run);
      silent = 0;
      if (run && !ending && (!task || task.number !== run.task.number)) {
        ending = run.stop().then(() => {
          run = null;
          ending = null;
        });
      }
      if (!run && task) run = new Run(task);
      if (run) show(`${run.task.name}: ${run.answered} answers, ${run.failed} requests failed. ${run.complaint}`);
      else show(text || 'Waiting for the probe.');
      if (over && !run) return;
    } catch {
      silent += 1;
    }
    await pause(3);
  }
  if (run) await run.stop();
  show('The probe has gone.');
}

main();
