// What databases hold: every document, every leaf revision, the digests of the attachments.
import { config, remote, run } from './harness.mjs';
import { snapshot } from './corpus.mjs';

run(async () => {
  const held = {};
  for (const name of config.databases) {
    const { state, counts } = await snapshot(remote(name));
    held[name] = { state: Object.fromEntries(state), counts };
  }
  return held;
});
