// Two clients in live sync write all the time while something happens: tokens expire, or the gate goes and comes back.
// Only the event "quiet" finds nobody writing: then the feeds stay open, and end for another reason than a change.
import { ask, config, live, local, remote, run, seen, until } from './harness.mjs';
import { differences, fill, snapshot } from './corpus.mjs';

// PouchDB waits longer and longer after a failure; a test does not have the minutes that a person has. A second it
// must be: PouchDB 9 starts anew beside the batch that it gave up, and while both run they lose changes, with any
// server. In a second the old one has failed too.
const options = { live: true, retry: true, back_off_function: () => 1000, batch_size: 50 };

run(async () => {
  const [one, two] = [local('one'), local('two')];
  await fill(one, config.documents); // so that the first event finds a replication under way
  const syncs = [one, two].map((db) => live(db.sync(remote(config.database), options)));
  let written = 0;
  let writing = true;
  let quiet = false;
  const writer = (async () => {
    while (writing) {
      await until(() => !quiet, 'the end of the quiet');
      const db = written % 2 ? one : two;
      await db.put({ _id: `live/${written}`, written, _attachments: { 'a/b.txt': { content_type: 'text/plain', data: 'YWJj' } } });
      written += 1;
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  })();
  // PouchDB 9 does not try again when its very first request fails, so the sync must have begun.
  await until(async () => (await two.info()).doc_count > 20, 'the sync is under way');
  const events = [];
  for (const event of config.events) {
    const before = written;
    quiet = event === 'quiet';
    events.push(await ask(event));
    quiet = false;
    await until(() => written > before + 20, 'writes after the event');
  }
  writing = false;
  await writer;
  const expected = (await one.info()).doc_count;
  await until(
    async () => {
      const [a, b] = await Promise.all([one, two].map((db) => db.info()));
      return a.doc_count === b.doc_count && a.doc_count >= expected && (await differences(one, two)).count === 0;
    },
    'both sides equal',
    30,
  ).catch(() => {});
  const last = await remote(config.database).put({ _id: 'last' });
  await until(
    async () => (await Promise.all([one, two].map((db) => db.get('last').catch(() => null)))).every((d) => d?._rev === last.rev),
    'the feeds of both clients are alive at the end',
  );
  const fresh = local('fresh');
  await fresh.replicate.from(remote(config.database));
  const { found, count, counts } = await differences(one, two, fresh);
  const lost = [];
  const { state } = await snapshot(fresh);
  for (let n = 0; n < written; n += 1) if (!state.has(`live/${n}`)) lost.push(n);
  const trouble = syncs.flatMap((sync) => sync.trouble);
  await Promise.all(syncs.map((sync) => sync.stop()));
  return { found, count, counts, lost, written, events, trouble, ...seen };
});
