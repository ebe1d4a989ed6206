// One run of the storefront's script, its posts made over HTTP: `node cron.mjs STATE.json`. The state holds what a
// Storefront takes, and `lost`: whether the answers are lost on the way back. It is written back with the log.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

import { Storefront } from './storefront.mjs';

// The script expects its answer when the call returns, so each call is a process of its own that is waited for.
const POST = `
    const { source, action, header, raw } = JSON.parse(require('node:fs').readFileSync(0));
    fetch(source + action, { method: 'POST', headers: header, body: raw }).then((r) => r.text()).then(console.log);
`;

function send(request) {
    const done = spawnSync(process.execPath, ['-e', POST], { input: JSON.stringify(request), timeout: 60_000 });
    if (done.status !== 0) throw new Error(String(done.stderr));
    if (state.lost) throw new Error('The connection was closed');
    return String(done.stdout);
}

const file = process.argv[2];
const state = JSON.parse(readFileSync(file, 'utf8'));
const shop = new Storefront({ ...state, send });
shop.run();
writeFileSync(file, JSON.stringify({ ...state, store: shop.store, log: shop.log }));
