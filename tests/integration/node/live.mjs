// Two clients in live sync: what is written on either side arrives on the other.
import { config, live, local, remote, run, seen, until } from './harness.mjs';
import { differences } from './corpus.mjs';

// A feed that does not tell of a row at once would do so with its next heartbeat, and that comes too late for `until`.
const heartbeat = 120_000; // ms

run(async () => {
  const [one, two] = [local('one'), local('two')];
  const syncs = [one, two].map((db) => live(db.sync(remote(config.database), { live: true, retry: true, heartbeat })));
  const arrives = (db, name, wanted) =>
    until(async () => wanted(await db.get(name).catch(() => null)), `${name} in ${db.name}`);
  for (let n = 0; n < 10; n += 1) {
    const [from, to] = n % 2 ? [one, two] : [two, one];
    const { rev } = await from.put({ _id: `doc/${n}`, n });
    await arrives(to, `doc/${n}`, (document) => document?.n === n);
    await to.putAttachment(`doc/${n}`, 'a/b.txt', rev, Buffer.from(`text ${n}`), 'text/plain');
    await arrives(from, `doc/${n}`, (document) => document?._attachments?.['a/b.txt']);
  }
  await one.remove(await one.get('doc/3'));
  await arrives(two, 'doc/3', (document) => document === null);
  const direct = await remote(config.database).put({ _id: 'direct', by: 'a third' });
  await Promise.all([one, two].map((db) => arrives(db, 'direct', (document) => document?._rev === direct.rev)));
  const { found, count, counts } = await differences(one, two);
  const trouble = syncs.flatMap((sync) => sync.trouble);
  await Promise.all(syncs.map((sync) => sync.stop()));
  return { found, count, counts, trouble, ...seen };
});
