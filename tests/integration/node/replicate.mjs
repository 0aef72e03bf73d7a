// 2,000 documents go up, and come down into a database that knows nothing.
import { config, local, remote, run, seen } from './harness.mjs';
import { differences, fill, id } from './corpus.mjs';

run(async () => {
  const here = local('here');
  await fill(here, config.documents);
  const there = remote(config.database);
  const push = await here.replicate.to(there);
  const fresh = local('fresh');
  const pull = await fresh.replicate.from(remote(config.database));

  // Attachments one by one as well, under the names that need escaping.
  const digests = [];
  for (let n = 0; n < config.documents; n += config.documents / 20) {
    const document = await here.get(id(n));
    for (const name of Object.keys(document._attachments ?? {})) {
      const [mine, theirs] = await Promise.all([here, there].map((db) => db.getAttachment(id(n), name)));
      digests.push(Buffer.compare(mine, theirs) === 0);
    }
  }
  // A second run finds its checkpoint and has nothing to do.
  const again = await here.replicate.to(remote(config.database));
  const { found, count, counts } = await differences(here, fresh);
  return {
    found,
    count,
    counts,
    push: [push.docs_written, push.doc_write_failures],
    pull: [pull.docs_written, pull.doc_write_failures],
    again: again.docs_read,
    attachments: { compared: digests.length, equal: digests.every(Boolean) },
    ...seen,
  };
});
