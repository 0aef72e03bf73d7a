// What apps ask a remote database directly: Mango queries, views, attachments, and single documents.
import { config, remote, run, seen } from './harness.mjs';

run(async () => {
  const db = remote(config.database);
  const documents = Array.from({ length: 50 }, (_, n) => ({ _id: `d/${n}`, n, kind: n % 2 ? 'odd' : 'even' }));
  const made = await db.bulkDocs(documents);
  await db.createIndex({ index: { fields: ['n'] } });
  const found = await db.find({ selector: { n: { $gte: 10, $lt: 20 }, kind: 'odd' }, fields: ['_id'], sort: ['n'] });
  await db.put({
    _id: '_design/app',
    views: { kinds: { map: 'function (doc) { emit(doc.kind, doc.n); }', reduce: '_sum' } },
  });
  const view = await db.query('app/kinds', { group: true });
  const keys = await db.allDocs({ keys: ['d/1', 'd/404'], include_docs: true });
  const { results } = await db.bulkGet({ docs: [{ id: 'd/7' }, { id: 'd/8' }] });

  await db.putAttachment('d/1', 'a/b c+ü.bin', made[1].rev, Buffer.from([0, 1, 2, 255]), 'application/octet-stream');
  const attachment = await db.getAttachment('d/1', 'a/b c+ü.bin');
  await db.removeAttachment('d/1', 'a/b c+ü.bin', (await db.get('d/1'))._rev);
  const conflict = await db.put({ _id: 'd/2' }).catch((error) => [error.status, error.name]);
  const missing = await db.get('nowhere').catch((error) => [error.status, error.name, error.reason]);
  const info = await db.info();
  return {
    found: found.docs.map((document) => document._id),
    view: view.rows.map((row) => [row.key, row.value]),
    keys: keys.rows.map((row) => row.doc?.n ?? row.error),
    bulk: results.map((row) => row.docs[0].ok.n),
    attachment: [...attachment],
    left: Object.keys((await db.get('d/1'))._attachments ?? {}),
    conflict,
    missing,
    documents: info.doc_count,
    ...seen,
  };
});
