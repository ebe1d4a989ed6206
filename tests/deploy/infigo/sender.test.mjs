// What the storefront's script has to do, as sentences. `node --test tests/deploy/infigo/sender.test.mjs` runs them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { CutOff, Storefront } from './storefront.mjs';

const TOKEN = 'a-token-of-the-tests';
const CONFIG = { url: 'https://ledger.example.com/webhooks/shop', token: TOKEN };

/** Refund Ledger's listener, as its contract has it. */
class Listener {
    events = [];
    keys = new Set();
    fault = () => undefined;

    send = (request) => {
        const fault = this.fault(request);
        if (fault !== undefined) return fault;
        assert.equal(request.source + request.action, CONFIG.url);
        assert.equal(request.header.Authorization, `Bearer ${TOKEN}`);
        assert.deepEqual(JSON.parse(request.raw), request.body);
        const known = this.keys.has(request.body.id);
        if (!known) this.events.push(request.body);
        this.keys.add(request.body.id);
        return JSON.stringify({ status: known ? 'duplicate' : 'accepted' });
    };

    told = () => this.events.map(({ order }) => `${order.Id} ${order.PaymentStatus} ${order.OrderStatus}`);
}

/** A storefront whose script has had its first run. */
function begun(more = {}) {
    const listener = new Listener();
    const shop = new Storefront({ config: CONFIG, send: listener.send, ...more });
    shop.run();
    return { shop, listener };
}

function refund(shop, ...ids) {
    for (const id of ids) {
        if (!shop.orders[id]) shop.place(id);
        shop.change(id, { PaymentStatus: 'Refunded' });
    }
}

test('a refund is told once, with the fields of the contract and nothing of the customer', () => {
    const { shop, listener } = begun();
    shop.place(1001);
    shop.later(5);
    refund(shop, 1001);
    for (let runs = 0; runs < 3; runs += 1) {
        shop.run();
        shop.later(5);
    }
    assert.deepEqual(listener.events, [{
        event: 'order.changed',
        id: `infigo-1001-${Date.parse('2026-11-20T12:05:00Z')}`,
        occurred_at: '2026-11-20T12:05:00.000Z',
        order: {
            CreatedOnUtc: '2026-11-20T12:00:00.000Z', Id: 1001, OrderStatus: 'Processing', PaymentStatus: 'Refunded',
            OrderTotal: 100.1, CustomerCurrencyCode: 'GBP', PaymentMethodSystemName: 'Payments.Stripe',
            CaptureTransactionId: 'pi_1001',
        },
    }]);
});

for (const [fields, told] of [
    [{ PaymentStatus: 'PartiallyRefunded' }, 'PartiallyRefunded Processing'],
    [{ PaymentStatus: 'Voided' }, 'Voided Processing'],
    [{ OrderStatus: 'Cancelled' }, 'Paid Cancelled'],
]) {
    test(`an order that becomes ${told} is told`, () => {
        const { shop, listener } = begun();
        shop.place(1, fields);
        shop.place(2);
        shop.run();
        assert.deepEqual(listener.told(), [`1 ${told}`]);
    });
}

test('every change of an order is told, also back to where it was, and each under an id of its own', () => {
    const { shop, listener } = begun();
    shop.place(1);
    for (const status of ['PartiallyRefunded', 'Paid', 'PartiallyRefunded', 'Refunded']) {
        shop.change(1, { PaymentStatus: status });
        shop.later(5);
        shop.run();
        shop.run();
    }
    const statuses = listener.events.map(({ order }) => order.PaymentStatus);
    assert.deepEqual(statuses, ['PartiallyRefunded', 'Paid', 'PartiallyRefunded', 'Refunded']);
});

test('a refunded total is told where the storefront has one, and a rise of it is a change', () => {
    const { shop, listener } = begun();
    shop.place(1, { PaymentStatus: 'PartiallyRefunded', RefundedAmount: 15.5 });
    shop.run();
    shop.later(5);
    shop.change(1, { RefundedAmount: 20 });
    shop.run();
    assert.deepEqual(listener.events.map(({ order }) => order.RefundedAmount), [15.5, 20]);
});

test('a change that is none of ours is not told', () => {
    const { shop, listener } = begun();
    refund(shop, 1);
    shop.run();
    shop.change(1, { OrderStatus: 'Complete', ShippingStatus: 'Delivered' });
    shop.later(5);
    shop.run();
    assert.equal(listener.events.length, 1);
});

test('what was refunded before the first run is noted and not told, and its next change is told', () => {
    const listener = new Listener();
    const shop = new Storefront({ config: CONFIG, send: listener.send });
    shop.place(1, { PaymentStatus: 'PartiallyRefunded' });
    shop.run();
    shop.run();
    assert.deepEqual(listener.told(), []);
    refund(shop, 1);
    shop.run();
    assert.deepEqual(listener.told(), ['1 Refunded Processing']);
});

test('a configuration that is handed over as text is read as well', () => {
    const { shop, listener } = begun({ config: JSON.stringify(CONFIG) });
    refund(shop, 1);
    shop.run();
    assert.equal(listener.events.length, 1);
});

for (const [config, said] of [
    [null, /set "url"/],
    [{ ...CONFIG, url: 'http://ledger.example.com/webhooks/shop' }, /set "url"/],
    [{ ...CONFIG, url: 'https://user:secret@ledger.example.com/webhooks/shop' }, /set "url"/],
    [{ url: CONFIG.url }, /set "token"/],
    [{ ...CONFIG, days: 'many' }, /set "days"/],
]) {
    test(`the configuration ${JSON.stringify(config)} is refused: ${said.source}`, () => {
        const shop = new Storefront({ config, send: assert.fail });
        assert.throws(() => shop.run(), said);
    });
}

// Pages ---------------------------------------------------------------------------------------------------------------

test('every page is read', () => {
    const { shop, listener } = begun();
    refund(shop, ...Array(150).keys());
    shop.run();
    assert.equal(listener.events.length, 150);
});

test('an order that leaves the list while it is read hides no other', () => {
    const { shop, listener } = begun();
    refund(shop, ...Array.from({ length: 150 }, (_, i) => i + 1));
    shop.beforePage = (page) => {
        if (page === 2) shop.change(1, { PaymentStatus: 'Paid' });
    };
    shop.run();
    // Number 101 has moved to the first page, which was read already: the list is read again.
    assert.ok(listener.told().includes('101 Refunded Processing'));
});

test('a list that never stands still is read a few times, and the next run finds the rest', () => {
    const { shop, listener } = begun();
    let id = 0;
    shop.beforePage = () => {
        id += 1;
        assert.ok(id < 100);
        refund(shop, id);
    };
    shop.run();
    shop.beforePage = () => {};
    shop.run();
    assert.equal(listener.events.length, id);
});

test('a storefront that does not know a status and answers with every order makes no events of them', () => {
    const { shop, listener } = begun();
    shop.knows = (status) => status !== 'PartiallyRefunded';
    for (const id of [1, 2, 3]) shop.place(id);
    shop.place(4, { PaymentStatus: 'Partially refunded' });
    shop.run();
    assert.deepEqual(listener.told(), ['4 Partially refunded Processing']);
});

// Delivery ------------------------------------------------------------------------------------------------------------

const REFUSED = JSON.stringify({ type: 'about:blank', title: 'Unauthorized', status: 401 });
const LOST = () => {
    throw new Error(`The operation has timed out (Authorization: Bearer ${TOKEN})`);
};

for (const [what, fault, said] of [
    ['is refused', () => REFUSED, 'answer 401'],
    ['meets a page of a proxy', () => '<html>502 Bad Gateway</html>', 'answer not understood'],
    ['meets nothing', () => '', 'answer not understood'],
    ['meets an echo', () => JSON.stringify({ status: TOKEN }), 'answer not understood'],
    ['meets null', () => null, 'answer not understood'],
    ['is ignored', () => '{"status":"ignored"}', 'answer ignored'],
    ['fails with an error', LOST, 'The operation has timed out (Authorization: Bearer [token])'],
]) {
    test(`what ${what} is posted again, unchanged, and the log says why without the token`, () => {
        const { shop, listener } = begun();
        refund(shop, 1);
        const posted = [];
        listener.fault = (request) => {
            posted.push(request.raw);
            return fault();
        };
        shop.run();
        shop.later(5);
        shop.run();
        listener.fault = () => undefined;
        shop.later(10);
        shop.run();
        assert.deepEqual([...posted, JSON.stringify(listener.events[0])], Array(3).fill(posted[0]));
        assert.ok(shop.log.includes(`Warning refund-ledger: order 1, try 2: ${said}`), shop.log.join('\n'));
        assert.ok(!shop.log.join().includes(TOKEN));
    });
}

test('an answer that comes late counts', () => {
    const { shop, listener } = begun();
    const late = [];
    shop.answer = (callback, response) => late.push(() => callback(response));
    refund(shop, 1);
    shop.run();
    late.forEach((answer) => answer());
    shop.later(24 * 60);
    shop.run();
    assert.equal(late.length, 1);
    assert.equal(listener.events.length, 1);
});

test('what failed waits longer each time, six hours at most, and is given up after fifty tries, which is said', () => {
    const { shop, listener } = begun();
    refund(shop, 1);
    const tries = [];
    listener.fault = () => {
        tries.push(shop.now.getTime() / 60_000);
        return REFUSED;
    };
    for (let runs = 0; runs < 12 * 24 * 14; runs += 1) {
        shop.run();
        shop.later(5);
    }
    const pauses = tries.slice(1).map((time, i) => time - tries[i]);
    assert.deepEqual(pauses.slice(0, 8), [5, 10, 20, 40, 80, 160, 320, 360]);
    assert.equal(tries.length, 50);
    assert.equal(Math.max(...pauses), 360);
    assert.equal(shop.log.at(-1), 'Error refund-ledger: order 1 was given up after 50 tries');

    listener.fault = () => undefined;
    shop.change(1, { OrderStatus: 'Cancelled' });
    shop.run();
    assert.deepEqual(listener.told(), ['1 Refunded Cancelled']);
});

test('where nobody answers a run stops after three; nothing is lost; what always fails holds up no other', () => {
    const { shop, listener } = begun();
    refund(shop, 1, 2, 3, 4, 5, 6);
    let posts = 0;
    listener.fault = (request) => {
        posts += 1;
        return request.body.order.Id <= 3 ? REFUSED : undefined;
    };
    shop.run();
    assert.equal(posts, 3);
    shop.run();
    assert.deepEqual(listener.told().map((line) => line[0]), ['4', '5', '6']);
    shop.later(60);
    refund(shop, 7);
    shop.run();
    assert.deepEqual(listener.told().map((line) => line[0]), ['4', '5', '6', '7']);
});

test('a change that comes while an event waits is told after it', () => {
    const { shop, listener } = begun();
    shop.place(1, { PaymentStatus: 'PartiallyRefunded' });
    listener.fault = () => REFUSED;
    shop.run();
    listener.fault = () => undefined;
    refund(shop, 1);
    for (let runs = 0; runs < 2; runs += 1) {
        shop.later(5);
        shop.run();
    }
    assert.deepEqual(listener.told(), ['1 PartiallyRefunded Processing', '1 Refunded Processing']);
});

test('one run posts two hundred at most, and the next ones the rest', () => {
    const { shop, listener } = begun();
    refund(shop, ...Array(450).keys());
    const counts = [1, 2, 3].map(() => {
        shop.run();
        return listener.events.length;
    });
    assert.deepEqual(counts, [200, 400, 450]);
});

test('a run that Infigo cancels stops, and the next one goes on', () => {
    const { shop, listener } = begun();
    refund(shop, 1, 2, 3);
    shop.cancelled = () => listener.events.length === 1;
    shop.run();
    shop.cancelled = () => false;
    shop.run();
    assert.equal(listener.events.length, 3);
});

test('two runs at the same time tell the same, once', () => {
    const { shop, listener } = begun();
    refund(shop, 1);
    listener.fault = () => {
        listener.fault = () => undefined;
        shop.run(); // the second begins while the first one posts
    };
    shop.run();
    assert.equal(listener.events.length, 1);
});

test('cut off anywhere, every change arrives once and in order', () => {
    let cut = 0;
    let finished = false;
    while (!finished) {
        cut += 1;
        const { shop, listener } = begun();
        refund(shop, 1);
        shop.place(2, { OrderStatus: 'Cancelled' });
        shop.run();
        shop.later(5);
        shop.change(1, { PaymentStatus: 'Paid' });
        shop.place(3, { PaymentStatus: 'Voided' });
        try {
            shop.run({ cut });
            finished = true;
        } catch (error) {
            assert.ok(error instanceof CutOff, error);
        }
        shop.later(5);
        shop.change(2, { PaymentStatus: 'Refunded' });
        for (let runs = 0; runs < 3; runs += 1) {
            shop.later(5);
            shop.run();
        }
        const of = (id) => listener.told().filter((line) => line.startsWith(`${id} `));
        assert.deepEqual(of(1), ['1 Refunded Processing', '1 Paid Processing'], `cut off at ${cut}`);
        assert.deepEqual(of(2), ['2 Paid Cancelled', '2 Refunded Cancelled'], `cut off at ${cut}`);
        assert.deepEqual(of(3), ['3 Voided Processing'], `cut off at ${cut}`);
        assert.equal(shop.log.at(-1), 'Info refund-ledger: 0 changes noticed, 0 sent, 0 wait');
    }
    assert.ok(cut > 12, 'there were that many places to be cut off at');
});

// The store -----------------------------------------------------------------------------------------------------------

test('orders too old to be searched, and deleted ones, are forgotten, but not before they are told', () => {
    const { shop, listener } = begun();
    refund(shop, 1, 2, 3);
    listener.fault = (request) => (request.body.order.Id === 3 ? REFUSED : undefined);
    shop.run();
    delete shop.orders[2];
    const kept = () => Object.keys(shop.store).map((key) => key.split('.').at(-1));
    shop.later(5);
    shop.run();
    assert.deepEqual(kept(), ['begun', '1', '3']);
    shop.later(183 * 24 * 60);
    shop.run();
    assert.deepEqual(kept(), ['begun', '3']);
    listener.fault = () => undefined;
    shop.later(360);
    shop.run();
    shop.run();
    assert.deepEqual(kept(), ['begun']);
    assert.equal(listener.events.length, 3);
});

test('a store that encodes what it is given is read as well', () => {
    const { shop, listener } = begun();
    shop.stored = JSON.stringify;
    refund(shop, 1);
    for (const status of ['Refunded', 'Refunded', 'Paid']) {
        shop.change(1, { PaymentStatus: status });
        shop.later(5);
        shop.run();
    }
    assert.deepEqual(listener.told(), ['1 Refunded Processing', '1 Paid Processing']);
});

test('the token is neither logged nor stored', () => {
    const { shop } = begun();
    refund(shop, 1);
    shop.run();
    assert.ok(!JSON.stringify([shop.log, shop.store]).includes(TOKEN));
});

test('the script keeps to ECMAScript 5', () => {
    const script = new URL('../../../deploy/infigo/refund-ledger-sender.js', import.meta.url);
    const source = readFileSync(script, 'utf8').replace(/\/\/.*/g, '');
    assert.doesNotMatch(source, /=>|`|\b(let|const|class|async|await|import|export)\b|\.\.\.| of \w+\) \{/);
});
