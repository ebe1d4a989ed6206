"""The API described as OpenAPI 3.1. Tests hold it against the routes and the answers."""

from typing import Any

from console.entries import BODIES
from console.export import COLUMNS
from console.parameters import FILTERS, LIMIT_DEFAULT, LIMIT_MAX
from ledger.entries import REASONS, STATUSES
from ledger.facts import Action
from storage.decisions import NAME_MAX, TEXT_MAX

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_TEXT_OR_NULL: Json = {"type": ["string", "null"]}
_TIME: Json = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Json = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_AMOUNT: Json = {"type": "string", "description": "Major units with the currency's ISO 4217 decimals, as 12.50."}
_AMOUNT_OR_NULL: Json = {**_AMOUNT, "type": ["string", "null"]}
_FREE: Json = {"type": "object"}

# One line, not blank, without control characters and those that turn the direction of a text (storage.decisions).
_HIDDEN = r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069"
_LINE: Json = {**_TEXT, "pattern": rf"^[^{_HIDDEN}]*[^\s{_HIDDEN}][^{_HIDDEN}]*$"}

_REFUSALS = {
    400: "A parameter or the body is wrong: the detail names it and the mend.",
    401: "The token is missing, or is not one that is known.",
    403: "The role of the token does not allow it.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "The entry is not in a state in which this can be decided.",
    413: "The body is too large.",
    500: "A fault of this program, which it has logged.",
    503: "The database cannot be used now.",
}
_REFUSAL_HEADERS = {401: "WWW-Authenticate", 503: "Retry-After"}
_READ = (400, 401, 500, 503)
_READ_ONE = (*_READ, 404)
_DECIDE = (*_READ_ONE, 403, 408, 409, 413)

_ABOUT = {
    "resolve": "Close a pending or unmatched entry, with a reason.",
    "reopen": "Take back the resolution of an entry.",
    "link": "Say to which order the entry's gateway refunds belong: source is the storefront.",
    "unlink": "Take back an operator's link, so that the rules decide again.",
    "snooze": "Leave the entry alone until a time; null ends it.",
    "assign": "Say who sees to the entry; null is nobody.",
    "note": "Write something down about the entry.",
}
_BODIES: dict[Action, dict[str, Json]] = {
    "resolve": {"reason": {**_LINE, "maxLength": TEXT_MAX}},
    "reopen": {},
    "link": {"source": {**_LINE, "maxLength": NAME_MAX}, "order_id": {**_LINE, "maxLength": NAME_MAX}},
    "unlink": {},
    "snooze": {"until": _TIME_OR_NULL},
    "assign": {"to": {**_LINE, "type": ["string", "null"], "maxLength": NAME_MAX}},
    "note": {"text": {**_LINE, "maxLength": TEXT_MAX}},
}
_FILTER_SCHEMAS: dict[str, Json] = {
    "status": {"type": "string", "enum": list(STATUSES)},
    "reason": {"type": "string", "enum": list(REASONS)},
    "source": {"type": "string", "pattern": "^[a-z0-9_]{1,64}$"},
    "order": {"type": "string", "maxLength": NAME_MAX},
    "since": _TIME,
    "until": _TIME,
}


def document() -> Json:
    """The OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Refund Ledger", "version": "1", "description": "The console's API."},
        "security": [{"token": []}],
        "paths": {**_read_paths(), **_action_paths(), **_health_paths()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
            "responses": {str(status): _refusal(status) for status in _REFUSALS},
        },
    }


def _read_paths() -> Json:
    filters = [_in_query(name, _FILTER_SCHEMAS[name]) for name in FILTERS]
    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    paging = [_in_query("limit", limit), _in_query("cursor", _TEXT)]
    order = [_in_path("source"), _in_path("order_id")]
    month = [
        _in_query("month", {**_TEXT, "pattern": "^(19[7-9][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])$"}),
        _in_query("timezone", _TEXT),
    ]
    table = {"text/csv": {"schema": {"type": "string", "description": f"Columns: {', '.join(COLUMNS)}."}}}
    return {
        "/api/v1/entries": {
            "get": _operation("A page of entries, by opened_at and id.", _json(_schema("Page")), [*filters, *paging])
        },
        "/api/v1/entries/{id}": {
            "get": _operation(
                "One entry with its history; a former id answers with the current entry.",
                _json(_schema("EntryWithHistory")),
                [_in_path("id")],
                _READ_ONE,
            )
        },
        "/api/v1/orders/{source}/{order_id}": {
            "get": _operation("An order with all that is known of it.", _json(_schema("Order")), order, _READ_ONE)
        },
        "/api/v1/export.csv": {"get": _operation("All chosen entries as a table.", table, filters)},
        "/api/v1/report": {
            "get": _operation("What was recorded, returned and opened in a month.", _json(_schema("Report")), month)
        },
        "/api/v1/summary": {"get": _operation("The ledger in sums.", _json(_schema("Summary")))},
        "/openapi.json": {"get": _operation("This document.", _json(_FREE))},
    }


def _action_paths() -> Json:
    paths = {}
    for action in BODIES:
        operation = _operation(_ABOUT[action], _json(_schema("Entry")), [_in_path("id")], _DECIDE)
        names = list(_BODIES[action])
        body: Json = {"type": "object", "properties": _BODIES[action], "additionalProperties": False}
        operation["requestBody"] = {"content": _json({**body, "required": names}), "required": bool(names)}
        operation["responses"]["202"] = {
            "description": "Stored, and without effect yet: sync did not answer in time. The entry as it was.",
            "content": _json(_schema("Entry")),
        }
        paths[f"/api/v1/entries/{{id}}/{action}"] = {"post": operation}
    return paths


def _health_paths() -> Json:
    about = {"/healthz": "The process is alive.", "/readyz": "Storage can be written.", "/metrics": "For Prometheus."}
    contents = {path: {"text/plain": {"schema": _TEXT}} if path == "/metrics" else _json(_FREE) for path in about}
    refused = {"/readyz": (503,)}
    return {
        path: {"get": {**_operation(text, contents[path], refused=refused.get(path, ())), "security": []}}
        for path, text in about.items()
    }


def _operation(
    summary: str, content: Json, parameters: list[Json] | None = None, refused: tuple[int, ...] = _READ
) -> Json:
    refusals = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(refused)}
    return {
        "summary": summary,
        "parameters": parameters or [],
        "responses": {"200": {"description": summary, "content": content}, **refusals},
    }


def _refusal(status: int) -> Json:
    content = {"application/problem+json": {"schema": _schema("Problem")}}
    told: Json = {"description": _REFUSALS[status], "content": content}
    if name := _REFUSAL_HEADERS.get(status):
        told["headers"] = {name: {"required": True, "schema": _TEXT}}
    return told


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _in_query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _schemas() -> Json:
    history = _object(
        at=_TIME, entry_id=_TEXT, status={"enum": [*STATUSES, None]}, reason=_TEXT_OR_NULL, change=_FREE,
        explanation=_TEXT, caused_by=_list({"type": "integer"}), actor=_TEXT_OR_NULL, decision=_or_null(
            _object(id=_TEXT, action={"enum": list(BODIES)}, text=_TEXT_OR_NULL, store=_TEXT_OR_NULL,
                    order_id=_TEXT_OR_NULL, until=_TIME_OR_NULL)),
    )  # fmt: skip
    at_stake = {**_AMOUNT, "description": "The money that does not agree, where it is known."}
    alike = _object(status={"enum": list(STATUSES)}, reason=_TEXT_OR_NULL, currency=_TEXT_OR_NULL, count=_COUNT,
                    at_stake=at_stake)  # fmt: skip
    unconfigured = _object(store=_TEXT, method=_TEXT, currency=_TEXT_OR_NULL, count=_COUNT, amount=_AMOUNT)
    sums = {"recorded": _AMOUNT, "recorded_without_amount": _COUNT, "returned": _AMOUNT, "difference": _AMOUNT,
            "exceptions": _COUNT, "exceptions_amount": _AMOUNT}  # fmt: skip
    line = _object(store=_TEXT_OR_NULL, gateway=_TEXT_OR_NULL, currency=_TEXT_OR_NULL, **sums)
    source = _object(source=_TEXT, count=_FREE, open=_COUNT, oldest_open=_TIME_OR_NULL)
    return {
        "Problem": _object(type=_TEXT, title=_TEXT, status={"type": "integer"}, detail=_TEXT),
        "Entry": _entry(),
        "EntryWithHistory": {"allOf": [_schema("Entry"), _object(history=_list(history))]},
        "Page": _object(entries=_list(_schema("Entry")), next_cursor=_TEXT_OR_NULL),
        "Order": _object(
            order=_order(),
            facts=_list(_object(fact=_TEXT, event={"type": "integer"})),
            entries=_list(_schema("Entry")),
            events=_list(_object(id={"type": "integer"}, source=_TEXT, type=_TEXT, via=_TEXT, received_at=_TIME)),
        ),
        "Report": _object(month=_TEXT, timezone=_TEXT, lines=_list(line),
                          totals=_list(_object(currency=_TEXT_OR_NULL, **sums))),
        "Summary": _object(entries=_list(alike), sources=_list(source), open=_COUNT, oldest_open=_TIME_OR_NULL,
                           unconfigured=_list(unconfigured), journal_backlog_events=_COUNT, dead_letters=_COUNT),
    }  # fmt: skip


def _entry() -> Json:
    gateway = _object(source=_TEXT, id=_TEXT, kind={"enum": ["refund", "void", "chargeback"]},
                      status={"enum": ["pending", "succeeded", "failed", "canceled", "reversed"]},
                      amount=_AMOUNT, currency=_TEXT, at=_TIME)  # fmt: skip
    storefront = _object(id=_TEXT, amount=_AMOUNT_OR_NULL, currency=_TEXT_OR_NULL, at=_TIME)
    return _object(
        id=_TEXT,
        store=_TEXT_OR_NULL,
        order_id=_TEXT_OR_NULL,
        status={"enum": list(STATUSES)},
        reason={"enum": [*REASONS, None]},
        verified={"type": "boolean"},
        currency={**_TEXT_OR_NULL, "description": "Of all amounts, but storefront_amount has that of its refunds."},
        gateway_amount=_AMOUNT_OR_NULL,
        storefront_amount=_AMOUNT_OR_NULL,
        difference=_AMOUNT_OR_NULL,
        expected_amount=_AMOUNT_OR_NULL,
        gateway_refunds=_or_null(_list(gateway)),
        storefront_refunds=_or_null(_list(storefront)),
        opened_at=_TIME,
        matched_at=_TIME_OR_NULL,
        lag_seconds={"type": ["integer", "null"]},
        due_at=_TIME_OR_NULL,
        explanation=_TEXT,
        suggestions=_list(_object(store=_TEXT, order_id=_TEXT, reason=_TEXT)),
        resolution=_or_null(_object(by=_TEXT, reason=_TEXT, at=_TIME)),
        assigned_to=_TEXT_OR_NULL,
        snoozed_until=_TIME_OR_NULL,
        unconfigured={
            **_TEXT_OR_NULL,
            "description": "The payment method that the order names and that no source is configured for.",
        },
    )


def _order() -> Json:
    return _object(
        store=_TEXT,
        order_id=_TEXT,
        currency=_TEXT_OR_NULL,
        total=_AMOUNT_OR_NULL,
        refunded=_AMOUNT_OR_NULL,
        payment_status=_TEXT_OR_NULL,
        cancelled={"type": "boolean"},
        cancelled_at=_TIME_OR_NULL,
        method=_TEXT_OR_NULL,
        transactions=_list(_TEXT),
        placed_at=_TIME_OR_NULL,
    )
