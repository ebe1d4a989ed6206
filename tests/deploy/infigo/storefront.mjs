// A storefront as a MegaScript sees it: `Run`, `Configuration` and `Logger` as Infigo publishes them
// (github.com/Infigo-Official/types-for-megascript, v1). What is not published is not there, and to use it is an error.
import { readFileSync } from 'node:fs';
import vm from 'node:vm';

const SCRIPT = new URL('../../../deploy/infigo/refund-ledger-sender.js', import.meta.url);
const SOURCE = readFileSync(SCRIPT, 'utf8');

export class CutOff extends Error {}

export class Storefront {
    /** `send(request)` answers a post: what it returns goes to the script's callback; it may throw as well. */
    constructor({ config, send, now = '2026-11-20T12:00:00.000Z', orders = {}, store = {} }) {
        Object.assign(this, { config, send, orders, store, now: new Date(now) });
        this.log = [];
        this.beforePage = () => {};
        this.answer = (callback, response) => callback(response);
        this.cancelled = () => false;
        this.knows = () => true;
        this.stored = (value) => value;
    }

    place(id, fields = {}) {
        this.orders[id] = {
            Id: id, OrderStatus: 'Processing', PaymentStatus: 'Paid', OrderTotal: 100.1, CustomerCurrencyCode: 'GBP',
            PaymentMethodSystemName: 'Payments.Stripe', CaptureTransactionId: `pi_${id}`,
            AuthorizationTransactionId: null, CreatedOnUtc: this.now.toISOString(),
            BillingAddress: { Email: 'someone@example.com' }, ...fields,
        };
    }

    change(id, fields) {
        Object.assign(this.orders[id], fields);
    }

    later(minutes) {
        this.now = new Date(this.now.getTime() + minutes * 60_000);
    }

    /** One run by cron; `cut`: the engine is gone at the script's so manieth call, and at every one after it. */
    run({ cut = Infinity } = {}) {
        let calls = 0;
        const called = () => {
            calls += 1;
            if (calls >= cut) throw new CutOff();
        };
        const now = this.now;
        const clock = class extends Date {
            constructor(...given) {
                super(...(given.length ? given : [now]));
            }
        };
        const context = {
            Date: clock,
            Run: published({
                Orders: this.#orders(called),
                Database: this.#database(called),
                ExternalApi: published({ Execute: (request, callback) => this.#execute(called, request, callback) }),
                IsExecutionCancelled: () => (called(), this.cancelled()),
            }),
            Configuration: published({ ScriptConfig: () => this.config }),
            Logger: published(Object.fromEntries(
                ['LogInfo', 'LogWarning', 'LogError'].map((level) => [level, (text) => {
                    called();
                    this.log.push(`${level.slice(3)} ${text}`);
                }]),
            )),
        };
        vm.runInNewContext(SOURCE, context, { timeout: 10_000 });
    }

    #orders(called) {
        const read = (order) => order && { ...order, CreatedOnUtc: new Date(order.CreatedOnUtc) };
        return published({
            FindById: (id) => (called(), read(this.orders[id]) ?? null),
            StartSearch: () => this.#search(called, read, []),
        });
    }

    #search(called, read, conditions) {
        const narrowed = (condition) => this.#search(called, read, [...conditions, condition]);
        const same = (one, other) => !this.knows(other) || one.toLowerCase() === other.toLowerCase();
        return published({
            WithPaymentStatus: (status) => narrowed((order) => same(order.PaymentStatus, status)),
            WithOrderStatus: (status) => narrowed((order) => same(order.OrderStatus, status)),
            // By the date of placement: there is no search by date of change.
            Since: (since) => narrowed((order) => new Date(order.CreatedOnUtc) >= since),
            LoadOrderData: (what) => (expect(what === 0), narrowed(() => true)),
            OrderBy: (what) => (expect(what === 0), narrowed(() => true)),
            FindAll: (pageIndex, pageSize) => {
                called();
                expect(Number.isInteger(pageIndex) && pageIndex >= 1, 'pages count from 1');
                this.beforePage(pageIndex);
                const all = Object.values(this.orders).filter((order) => conditions.every((fits) => fits(order)));
                const start = (pageIndex - 1) * pageSize;
                return {
                    Data: all.slice(start, start + pageSize).map(read),
                    PageIndex: pageIndex - 1, // published as starting from 0 here, and from 1 in the question
                    PageSize: pageSize,
                    TotalCount: all.length,
                    TotalPages: Math.ceil(all.length / pageSize),
                    HasPreviousPage: pageIndex > 1,
                    HasNextPage: start + pageSize < all.length,
                };
            },
        });
    }

    #database(called) {
        return published({
            Get: (key) => (called(), this.store[key] ?? null),
            AddOrUpdate: (key, value) => {
                called();
                expect(typeof key === 'string' && typeof value === 'string');
                this.store[key] = this.stored(value);
            },
            Delete: (key) => (called(), delete this.store[key]),
            GetData: (prefix) => (called(), Object.entries(this.store)
                .filter(([key]) => key.startsWith(prefix)).map(([Key, Value]) => ({ Key, Value }))),
        });
    }

    #execute(called, request, callback) {
        called();
        const names = ['source', 'action', 'header', 'query', 'body', 'parameter', 'raw', 'sendAsForm'];
        expect(Object.keys(request).sort().join() === names.sort().join(), 'every field of Execution, and no other');
        const response = this.send(structuredClone(JSON.parse(JSON.stringify(request))));
        called(); // to be cut off here is to have sent, and not to know it
        this.answer(callback, response);
    }
}

function published(members) {
    return new Proxy(members, {
        get: (target, name) => {
            expect(name in target, `${String(name)} is not published`);
            return target[name];
        },
    });
}

function expect(condition, text = 'not as published') {
    if (!condition) throw new Error(text);
}
