// A database as apps have them, odd corners included, and a way to tell whether two databases are equal.
// A page in a browser loads this file too, so it needs nothing of Node.

const ODD_IDS = [
  (n) => `note-${n}`,
  (n) => `notes/2024/${n}`,
  (n) => `100%/${n}`,
  (n) => `a+b ${n}`,
  (n) => `%2F-${n}`,
  (n) => `grüße-日本-🦊-${n}`,
  (n) => `tenant:${n}`,
  (n) => `q?x=1&y=#${n}`,
  (n) => `"quoted"\\${n}`,
  (n) => `..;/${n}`,
];
const ODD_NAMES = ['a/b.txt', 'schöne Grüße.txt', '100%.bin', 'plus+sign', 'q?x=1#y', '日本/🦊.dat', 'plain.txt'];

// As many bytes as are asked for, one character each, always the same for a seed.
function bytes(length, seed) {
  const characters = [];
  let state = (seed * 2654435761 + 12345) >>> 0;
  while (characters.length < length) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    characters.push(String.fromCharCode(state >>> 24));
  }
  return characters.join('');
}

function revision(seed) {
  return [...bytes(16, seed)].map((one) => one.charCodeAt(0).toString(16).padStart(2, '0')).join('');
}

function attachments(n) {
  const result = {};
  for (let i = 0; i < 1 + (n % 3); i += 1) {
    const name = ODD_NAMES[(n + i) % ODD_NAMES.length];
    const data = bytes(n % 50 === 0 ? 60_000 : 10 + ((n * 37) % 3000), n * 10 + i);
    result[name] = { content_type: i ? 'application/octet-stream' : 'text/plain', data: btoa(data) };
  }
  return result;
}

export function id(n) {
  return ODD_IDS[n % ODD_IDS.length](n);
}

// `count` documents: every fifth with attachments, every tenth edited, every fortieth deleted, every fiftieth in
// conflict (two branches, one of them with an attachment).
export async function fill(db, count) {
  const documents = [];
  for (let n = 0; n < count; n += 1) {
    const document = { _id: id(n), n, text: `document ${n} ä🦊 `.repeat(1 + (n % 20)), nested: { list: [n, null, -0.5] } };
    if (n % 5 === 0) document._attachments = attachments(n);
    documents.push(document);
  }
  const made = await db.bulkDocs(documents);
  const edits = [];
  const branches = [];
  made.forEach((row, n) => {
    if (row.error) throw new Error(`document ${n}: ${JSON.stringify(row)}`);
    if (n % 10 === 3) edits.push({ _id: row.id, _rev: row.rev, n, edited: true });
    if (n % 40 === 7) edits.push({ _id: row.id, _rev: row.rev, _deleted: true });
    if (n % 50 === 11) {
      for (const branch of ['left', 'right']) {
        const rev = revision(2 * n + (branch === 'left' ? 0 : 1));
        const document = { _id: row.id, _rev: `2-${rev}`, n, branch };
        document._revisions = { start: 2, ids: [rev, row.rev.split('-')[1]] };
        if (branch === 'left') document._attachments = attachments(n);
        branches.push(document);
      }
    }
  });
  for (const row of await db.bulkDocs(edits)) if (row.error) throw new Error(JSON.stringify(row));
  await db.bulkDocs(branches, { new_edits: false });
}

function leaf(document) {
  const { _attachments: stubs = {}, ...rest } = document;
  const names = Object.keys(stubs).sort();
  const kept = names.map((name) => [name, stubs[name].digest, stubs[name].length, stubs[name].content_type]);
  return JSON.stringify([Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)), kept]);
}

// Every document with all its leaf revisions: history, deletion, body, and the digests of its attachments.
export async function snapshot(db) {
  const changes = await db.changes({ since: 0, style: 'all_docs' });
  const state = new Map();
  const counts = { documents: 0, leaves: 0, conflicts: 0, deleted: 0, attachments: 0 };
  for (let at = 0; at < changes.results.length; at += 50) {
    await Promise.all(
      changes.results.slice(at, at + 50).map(async (row) => {
        const leaves = (await db.get(row.id, { open_revs: 'all', revs: true })).map((one) => one.ok);
        counts.documents += 1;
        counts.leaves += leaves.length;
        counts.conflicts += leaves.length > 1 ? 1 : 0;
        counts.deleted += leaves.filter((one) => one._deleted).length;
        counts.attachments += leaves.reduce((sum, one) => sum + Object.keys(one._attachments ?? {}).length, 0);
        state.set(row.id, leaves.map(leaf).sort());
      }),
    );
  }
  return { state, counts };
}

// What differs between databases: [] when they are equal, document by document and revision by revision.
export async function differences(...databases) {
  const [first, ...others] = await Promise.all(databases.map(snapshot));
  const found = [];
  for (const other of others) {
    for (const name of new Set([...first.state.keys(), ...other.state.keys()])) {
      const [here, there] = [first.state.get(name), other.state.get(name)];
      if (JSON.stringify(here) !== JSON.stringify(there)) found.push({ id: name, here, there });
    }
  }
  return { found: found.slice(0, 5), count: found.length, counts: first.counts };
}
