// An app as people write it: PouchDB in the browser's storage, in live sync with databases behind the gate, a token that
// is renewed when it is refused. The tests call the functions of `app`.

import { fill, snapshot } from '/corpus.mjs';

const databases = new Map();
const syncs = new Map();
const seen = { refused: 0, failed: 0, requests: 0 };
const trouble = [];
let gate = '';
let token = '';
let renewal = null;

function local(name) {
  if (!databases.has(name)) databases.set(name, new PouchDB(name));
  return databases.get(name);
}

// Many requests that were refused together are worth one new token.
function renew(refused) {
  if (refused !== token) return Promise.resolve();
  renewal ??= fetch('/token').then(async (response) => {
    token = await response.text();
    renewal = null;
  });
  return renewal;
}

async function fetchWithToken(url, options) {
  for (let attempt = 0; ; attempt += 1) {
    const shown = token;
    options.headers.set('Authorization', `Bearer ${shown}`);
    seen.requests += 1;
    let response;
    try {
      response = await PouchDB.fetch(url, options); // which adds `credentials: 'include'`
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

function remote(name) {
  return new PouchDB(`${gate}/${encodeURIComponent(name)}`, { fetch: fetchWithToken });
}

// Whoever waits for this has a deadline.
async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function digest(data) {
  const hash = await crypto.subtle.digest('SHA-256', data);
  return [...new Uint8Array(hash)].map((one) => one.toString(16).padStart(2, '0')).join('');
}

globalThis.app = {
  async begin(url) {
    gate = url;
    await renew(token);
  },

  // Live sync, both ways. A person waits longer after each failure than a test can.
  sync(...names) {
    for (const name of names) {
      const sync = local(name).sync(remote(name), { live: true, retry: true, back_off_function: () => 1000 });
      for (const event of ['error', 'denied']) sync.on(event, (what) => trouble.push({ name, event, what }));
      syncs.set(name, sync);
    }
  },

  async stop(...names) {
    for (const name of names) {
      const sync = syncs.get(name);
      syncs.delete(name);
      await new Promise((resolve) => {
        sync.on('complete', resolve);
        sync.on('error', resolve);
        sync.cancel();
      });
    }
  },

  fill: (name, count) => fill(local(name), count),
  put: async (name, document) => (await local(name).put(document)).rev,
  remove: async (name, id) => local(name).remove(await local(name).get(id)),

  // Waits until the document is here at this revision.
  arrived: (name, id, rev) => until(async () => (await local(name).get(id).catch(() => null))?._rev === rev),

  async snapshot(...names) {
    const held = {};
    for (const name of names) {
      const { state, counts } = await snapshot(local(name));
      held[name] = { state: Object.fromEntries(state), counts };
    }
    return held;
  },

  // An attachment as it is here and as the gate gives it: two digests.
  async attachment(name, id, attachment) {
    const both = [local(name), remote(name)].map((db) => db.getAttachment(id, attachment));
    return Promise.all(both.map(async (blob) => digest(await (await blob).arrayBuffer())));
  },

  // A request without PouchDB: what a script of this page gets to see of the answer.
  async ask(path, options = {}) {
    const headers = { Authorization: `Bearer ${token}`, ...options.headers };
    const response = await fetch(gate + path, { credentials: 'include', ...options, headers });
    const body = await response.text();
    return { status: response.status, headers: Object.fromEntries(response.headers), body };
  },

  // The same from a frame without an origin of its own.
  async askSandboxed(path) {
    const frame = document.createElement('iframe');
    frame.sandbox = 'allow-scripts';
    frame.srcdoc = `<script>
      fetch(${JSON.stringify(gate + path)}, { credentials: 'include', headers: { Authorization: 'Bearer ${token}' } })
        .then((response) => response.text(), (error) => { parent.postMessage(error.message, '*'); });
    </script>`;
    const told = new Promise((resolve) => addEventListener('message', resolve, { once: true }));
    document.body.append(frame);
    throw new Error((await told).data);
  },

  refused: (count) => until(() => seen.refused >= count),
  requested: (count) => until(() => seen.requests >= count),

  seen: () => ({ ...seen, trouble: trouble.map((each) => JSON.stringify(each)) }),
};
