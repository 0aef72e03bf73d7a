// A live sync over reloads of the gate: as long as the rules allow it, it goes on; then it ends with the gate's word.
import { ask, config, local, remote, run, seen, until } from './harness.mjs';

run(async () => {
  const one = local('one');
  const trouble = [];
  let ended = null;
  const sync = one.sync(remote(config.database), { live: true, retry: true, back_off_function: () => 500 });
  sync.on('denied', (what) => trouble.push({ event: 'denied', what }));
  sync.on('error', (error) => { ended = { status: error.status, name: error.name, error: error.error }; });
  sync.on('complete', () => { ended ??= 'complete'; });
  sync.catch(() => {});
  const arrives = async (n) => {
    await one.put({ _id: `doc/${n}`, n });
    const there = remote(config.database);
    await until(async () => there.get(`doc/${n}`).then(() => true, () => false), `doc/${n} beyond the gate`);
    await there.put({ _id: `back/${n}`, n });
    await until(async () => one.get(`back/${n}`).then(() => true, () => false), `back/${n} here`);
  };
  await arrives(0);
  const reloads = [];
  for (let n = 1; n <= 5; n += 1) {
    reloads.push(await ask('keep'));
    await arrives(n);
  }
  const before = ended;
  reloads.push(await ask('close'));
  await until(async () => ended !== null, 'the end of the sync');
  return { reloads, before, ended, trouble, failed: seen.failed };
});
