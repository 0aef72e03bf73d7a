// An app of several databases, all of them in live sync at once.
import { config, live, local, remote, run, seen, until } from './harness.mjs';
import { differences, fill } from './corpus.mjs';

run(async () => {
  const databases = config.databases.map((name) => ({ name, one: local(`${name}-one`), two: local(`${name}-two`) }));
  const syncs = databases.flatMap(({ name, one, two }) =>
    [one, two].map((db) => live(db.sync(remote(name), { live: true, retry: true }))),
  );
  await Promise.all(databases.map(({ one }) => fill(one, config.documents)));
  await Promise.all(
    databases.map(async ({ name, one, two }) => {
      await two.put({ _id: 'from two', name });
      await until(async () => (await differences(one, two)).count === 0, `${name} is equal`);
    }),
  );
  const results = {};
  for (const { name, one, two } of databases) results[name] = await differences(one, two);
  const trouble = syncs.flatMap((sync) => sync.trouble);
  await Promise.all(syncs.map((sync) => sync.stop()));
  return { results, trouble, ...seen };
});
