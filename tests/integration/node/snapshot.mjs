// What a database holds: every document, every leaf revision, the digests of the attachments.
import { config, remote, run } from './harness.mjs';
import { snapshot } from './corpus.mjs';

run(async () => {
  const { state, counts } = await snapshot(remote(config.database));
  return { state: Object.fromEntries(state), counts };
});
