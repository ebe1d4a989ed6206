// Refund Ledger's sender: a MegaScript for an Infigo storefront, run by cron. To set it up: docs/infigo-sender.md.
//
// Each run looks at the orders that are refunded, partially refunded, voided or cancelled, and at those it has told of
// before. What has changed on one of them becomes an event: it is first written to the script's own store, then posted
// until Refund Ledger has it. A run that is cut off anywhere posts the same event, with the same id, next time; Refund
// Ledger answers "duplicate".
//
// It uses what Infigo publishes of MegaScript (github.com/Infigo-Official/types-for-megascript, v1) and nothing else.
// Which engine runs it is not published, so it keeps to ECMAScript 5.
(function () {
    'use strict';

    // The names of the statuses are nopCommerce's, from which Infigo descends. Compared without blanks and case.
    var PAYMENT_STATUSES = ['PartiallyRefunded', 'Refunded', 'Voided'];
    var CANCELLED = 'Cancelled';
    // OrderGuid and RefundedAmount are not among the published fields; a storefront that has them tells more.
    var FIELDS = ['Id', 'OrderGuid', 'OrderStatus', 'PaymentStatus', 'OrderTotal', 'RefundedAmount',
        'CustomerCurrencyCode', 'PaymentMethodSystemName', 'CaptureTransactionId', 'AuthorizationTransactionId'];

    var STORE = 'refund-ledger.';
    var ORDER_BY_ID = 0; // OrderOrderBy.Id
    var LOAD_NOTHING_MORE = 0; // OrderLoadType.None: no addresses, no lines
    var DAY = 24 * 60 * 60 * 1000;
    var PAUSE = 5 * 60 * 1000;
    var PAUSE_MAX = DAY / 4;
    var PAGE_SIZE = 100;
    var PAGES_MAX = 1000;
    var WALKS_MAX = 3;
    var POSTS_MAX = 200; // in one run
    var FAILURES_MAX = 3; // in a row: then nobody is there, and the rest waits for the next run
    var TRIES_MAX = 50; // of one event: about eleven days

    var now = new Date();
    var settings = settled(parsed(Configuration.ScriptConfig()));

    function settled(config) {
        var told = config || {};
        // Without TLS the token would be there for all to read; loopback is for trying it out.
        var address = /^(https:\/\/[^\/@]+|http:\/\/127\.0\.0\.1:\d+)(\/webhooks\/[a-z0-9_]+)$/.exec(told.url);
        var days = told.days === undefined ? 180 : told.days;
        if (!address) {
            throw new Error('refund-ledger: set "url" in the configuration: "https://your.host/webhooks/shop"');
        }
        if (typeof told.token !== 'string' || !told.token) {
            throw new Error('refund-ledger: set "token" in the configuration: the webhook_token of the source');
        }
        if (!(days > 0)) {
            throw new Error('refund-ledger: set "days" in the configuration to a number, as 180');
        }
        return { source: address[1], action: address[2], token: told.token, days: days };
    }

    // The orders ------------------------------------------------------------------------------------------------------

    // The orders to look at, by id: what the searches find, and what was told of before and is found no longer because
    // a refund was taken back or a cancellation undone.
    function watched(since, records) {
        var found = {}, i, id;
        for (i = 0; i < PAYMENT_STATUSES.length; i++) {
            walk(searching(since, 'WithPaymentStatus', PAYMENT_STATUSES[i]), found);
        }
        walk(searching(since, 'WithOrderStatus', CANCELLED), found);
        for (id in records) {
            if (!found[id]) {
                found[id] = Run.Orders.FindById(records[id].id);
            }
        }
        return found;
    }

    function searching(since, filter, status) {
        return function () {
            var search = Run.Orders.StartSearch()[filter](status).Since(since);
            return search.LoadOrderData(LOAD_NOTHING_MORE).OrderBy(ORDER_BY_ID);
        };
    }

    // An order that leaves the list while it is walked moves the next ones up, and one of them is passed over. So the
    // list is walked again when its length has changed; what is passed over all the same is found by the next run.
    function walk(search, found) {
        var walks, page, list, length, i;
        for (walks = 0; walks < WALKS_MAX; walks++) {
            page = 0;
            do {
                page += 1;
                if (page > PAGES_MAX) {
                    throw new Error('refund-ledger: more than ' + PAGES_MAX + ' pages of orders; set fewer "days"');
                }
                list = search().FindAll(page, PAGE_SIZE);
                length = page === 1 ? list.TotalCount : length;
                for (i = 0; i < list.Data.length; i++) {
                    found[list.Data[i].Id] = list.Data[i];
                }
            } while (list.HasNextPage);
            if (list.TotalCount === length) {
                return;
            }
        }
    }

    function plain(status) {
        return String(status).replace(/\s/g, '').toLowerCase();
    }

    function isCancelled(order) {
        return plain(order.OrderStatus) === plain(CANCELLED);
    }

    // What a search does with a name that it does not know is not published, so its answer is looked at.
    function isOurs(order) {
        return isCancelled(order) || PAYMENT_STATUSES.map(plain).indexOf(plain(order.PaymentStatus)) >= 0;
    }

    // What is told of an order, in one line: an event is due when it changes.
    function stateOf(order) {
        return [plain(order.PaymentStatus), isCancelled(order) ? 'cancelled' : '', order.RefundedAmount].join(' ');
    }

    // Only these fields: nothing of the customer.
    function eventOf(order) {
        var event = {
            event: 'order.changed',
            id: 'infigo-' + order.Id + '-' + now.getTime(),
            occurred_at: now.toISOString(), // when it was seen: Infigo does not tell when it happened
            order: { CreatedOnUtc: utc(order.CreatedOnUtc) }
        };
        for (var i = 0; i < FIELDS.length; i++) {
            if (order[FIELDS[i]] !== undefined && order[FIELDS[i]] !== null) {
                event.order[FIELDS[i]] = order[FIELDS[i]];
            }
        }
        return event;
    }

    function utc(date) {
        return date && date.toISOString ? date.toISOString() : date;
    }

    // The store -------------------------------------------------------------------------------------------------------
    // One record for each order: the state that was last noticed; the event that tells it, until that is delivered; how
    // often that was tried, and when it is due again.

    function remembered() {
        var records = {}, entries = Run.Database.GetData(STORE + 'order.'), i, record;
        for (i = 0; i < entries.length; i++) {
            record = parsed(entries[i].Value);
            records[record.id] = record;
        }
        return records;
    }

    function remember(record) {
        Run.Database.AddOrUpdate(STORE + 'order.' + record.id, JSON.stringify(record));
    }

    // Of the store, the configuration and the answer it is not published whether what was written is handed back as
    // text, as what the text says, or encoded once more.
    function parsed(value) {
        var said = value;
        while (typeof said === 'string') {
            said = JSON.parse(said);
        }
        return said;
    }

    function waits(record) {
        return record.event !== null && record.tries < TRIES_MAX;
    }

    function givenUp(record) {
        return record.event !== null && record.tries >= TRIES_MAX;
    }

    // Remember what has changed on the order; true where it has. An event that waits goes first: the order's next one
    // is made by the run after it is delivered.
    function notice(order, records, first) {
        var record = records[order.Id], state = stateOf(order);
        if (record ? waits(record) || record.state === state : !isOurs(order)) {
            return false;
        }
        records[order.Id] = {
            id: order.Id,
            placed: utc(order.CreatedOnUtc),
            state: state,
            event: first ? null : eventOf(order),
            tries: 0,
            due: now.getTime()
        };
        remember(records[order.Id]);
        return true;
    }

    // An order that is older than what is searched, or deleted, need not be remembered. Two days of margin, for the
    // clock and the time zone of the search.
    function forget(since, records, orders) {
        for (var id in records) {
            if (!waits(records[id]) && (!orders[id] || new Date(records[id].placed) < since.getTime() - 2 * DAY)) {
                Run.Database.Delete(STORE + 'order.' + id);
                delete records[id];
            }
        }
    }

    // Delivery --------------------------------------------------------------------------------------------------------

    // How many events were delivered.
    function deliver(due) {
        var sent = 0, failures = 0, i;
        for (i = 0; i < due.length && i < POSTS_MAX && failures < FAILURES_MAX && !Run.IsExecutionCancelled(); i++) {
            if (post(due[i])) {
                sent += 1;
                failures = 0;
            } else {
                failures += 1;
            }
        }
        return sent;
    }

    function chosen(records, condition) {
        var found = [], id;
        for (id in records) {
            if (condition(records[id])) {
                found.push(records[id]);
            }
        }
        return found;
    }

    // What was tried less comes first, so that no event holds up the others.
    function dueOf(records) {
        function due(record) {
            return waits(record) && record.due <= now.getTime();
        }
        return chosen(records, due).sort(function (one, other) {
            return one.tries - other.tries || one.due - other.due || one.id - other.id;
        });
    }

    // The published answer is a text without a status code, and what becomes of an HTTP error, of a timeout or of a
    // lost connection is not published. So only Refund Ledger's own words count.
    function post(record) {
        var delivered = false, failure = 'no answer';
        record.tries += 1;
        record.due = now.getTime() + Math.min(PAUSE * Math.pow(2, record.tries - 1), PAUSE_MAX);
        remember(record); // a run that is cut off has tried, too
        try {
            Run.ExternalApi.Execute(requestOf(record.event), function (response) {
                var status = statusOf(response);
                failure = 'answer ' + status;
                if (status === 'accepted' || status === 'duplicate') {
                    record.event = null;
                    remember(record);
                    delivered = true;
                }
            });
        } catch (error) {
            failure = String(error && error.message).split(settings.token).join('[token]').slice(0, 200);
        }
        if (!delivered) {
            Logger.LogWarning('refund-ledger: order ' + record.id + ', try ' + record.tries + ': ' + failure);
        }
        return delivered;
    }

    // Whether `body` or `raw` is sent where both are there is not published: they say the same.
    function requestOf(event) {
        return {
            source: settings.source,
            action: settings.action,
            header: { 'Authorization': 'Bearer ' + settings.token, 'Content-Type': 'application/json' },
            query: {},
            body: event,
            parameter: {},
            raw: JSON.stringify(event),
            sendAsForm: false
        };
    }

    // One of Refund Ledger's words, or the number of its error; nothing that a stranger may have sent is logged.
    function statusOf(response) {
        var status = '';
        try {
            status = String(parsed(response).status);
        } catch (error) {
            // It is no JSON: a page of a proxy, or nothing.
        }
        return /^(accepted|duplicate|ignored|\d{3})$/.test(status) ? status : 'not understood';
    }

    // A run -----------------------------------------------------------------------------------------------------------

    function run() {
        var since = new Date(now.getTime() - settings.days * DAY);
        var first = !Run.Database.Get(STORE + 'begun');
        var records = remembered(), orders = watched(since, records);
        var noticed = chosen(orders, function (order) {
            return order && notice(order, records, first);
        }).length;
        if (first) {
            // What was refunded before did not happen now; told as if it had, it would raise alarms.
            Run.Database.AddOrUpdate(STORE + 'begun', now.toISOString());
            Logger.LogInfo('refund-ledger: first run, ' + noticed + ' orders noted; what changes from now on is sent');
            return;
        }
        forget(since, records, orders);
        Logger.LogInfo('refund-ledger: ' + noticed + ' changes noticed, ' + deliver(dueOf(records)) + ' sent, ' +
            chosen(records, waits).length + ' wait');
        chosen(records, givenUp).forEach(function (record) {
            Logger.LogError('refund-ledger: order ' + record.id + ' was given up after ' + record.tries + ' tries');
        });
    }

    run();
})();
