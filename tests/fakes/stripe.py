"""Stripe: its payments, refunds, disputes and events, its API, and the webhooks that it sends.

As the real one: lists newest first with `starting_after`, at most 100 a page, events that appear late and are kept 30
days, ids where nothing is expanded, connected accounts by header. Every object is held to the fields that the installed
`stripe` package publishes, every parameter to those that it documents: the fake can only say what Stripe can say.
"""

import hashlib
import hmac
import itertools
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from stripe.params import DisputeListParams, EventListParams, RefundListParams, WebhookEndpointListParams

from ledger.instants import DAY, SECOND, Instant, to_rfc3339
from tests.fakes.faults import Faults, serving

KEY = "rk_test_of_the_fake"
SECRET = "whsec_of_the_fake"

Object = dict[str, Any]

_RETRIEVED: dict[str, Any] = {
    "refunds": stripe.Refund,
    "charges": stripe.Charge,
    "payment_intents": stripe.PaymentIntent,
    "disputes": stripe.Dispute,
}
_LISTED: dict[str, Any] = {
    "events": EventListParams,
    "refunds": RefundListParams,
    "disputes": DisputeListParams,
    "webhook_endpoints": WebhookEndpointListParams,
}
# Told only in some cases: never null, but absent.
_ABSENT = ("OBJECT_NAME", "account", "context", "deleted", "presentment_details", "refunds", "secret")


class _Refused(Exception):  # noqa: N818 - it is an answer
    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


@dataclass
class FakeStripe:
    """A platform account (None) and its connected accounts. Time stands still until a test moves `now`."""

    now: Instant
    livemode: bool = False
    accounts: tuple[str | None, ...] = (None,)
    appears_after: Instant = 0
    """How long an event takes to show in the list."""
    never_made: set[str] = field(default_factory=set)
    """Types of events that Stripe fails to make."""
    copies: Callable[[Object], int] = lambda _event: 1
    """How often an event's webhook arrives: 0 where it is lost."""
    per_second: int | None = None
    """More calls a second are refused."""
    forbidden: set[str] = field(default_factory=set)
    """Paths that the key may not read."""
    endpoints: list[Object] = field(default_factory=list)
    outbox: list[Object] = field(default_factory=list)
    """The events whose webhooks wait to be delivered, oldest first."""
    refused: int = 0
    queries: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Every question: path, query, account."""

    def __post_init__(self) -> None:
        self._objects: dict[str, tuple[str | None, Object]] = {}
        self._events: list[tuple[str | None, Object]] = []
        self._numbers = itertools.count(1)
        self._calls: deque[float] = deque()
        routes = [Route("/v1/{kind}", self._list), Route("/v1/{kind}/{id}", self._retrieve)]
        self.faults = Faults(Starlette(routes=routes, exception_handlers={_Refused: _refusal}))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with serving(self.faults) as address:
            yield address

    # What people, shops and banks do ---------------------------------------------------------------------------------

    def pay(
        self,
        amount: int,
        currency: str = "gbp",
        *,
        metadata: dict[str, str] | None = None,
        capture: bool = True,
        account: str | None = None,
    ) -> str:
        """A payment, captured or authorised only. The metadata is the payment intent's. The charge's id."""
        intent = self._add(
            account,
            stripe.PaymentIntent,
            "pi",
            amount=amount,
            currency=currency,
            metadata=metadata or {},
            amount_received=amount if capture else 0,
            amount_capturable=0 if capture else amount,
            capture_method="automatic" if capture else "manual",
            confirmation_method="automatic",
            payment_method_types=["card"],
            status="succeeded" if capture else "requires_capture",
        )
        charge = self._add(
            account,
            stripe.Charge,
            "ch",
            amount=amount,
            amount_captured=amount if capture else 0,
            amount_refunded=0,
            billing_details={"email": "someone@example.com", "name": "Ellen Johnson"},
            captured=capture,
            currency=currency,
            disputed=False,
            metadata={},
            paid=True,
            payment_intent=intent["id"],
            refunded=False,
            status="succeeded",
        )
        intent["latest_charge"] = charge["id"]
        self._emit("charge.succeeded", charge)
        if capture:
            self._emit("payment_intent.succeeded", intent)
        return str(charge["id"])

    def capture(self, charge_id: str, amount: int) -> str:
        """Take so much and release the rest, by a refund as API versions before 2025-03-31.basil do; its id."""
        charge = self.find(charge_id)
        rest = charge["amount"] - amount
        charge |= {"captured": True, "amount_captured": amount, "amount_refunded": rest}
        intent = self.find(charge["payment_intent"])
        intent |= {"status": "succeeded", "amount_received": amount, "amount_capturable": 0}
        refund = self._add_refund(charge, rest, "succeeded", {})
        self._emit("charge.captured", charge)
        self._emit("payment_intent.succeeded", intent)
        self._emit("refund.created", refund)
        return str(refund["id"])

    def expire(self, charge_id: str) -> None:
        """An authorisation that nobody captured ends."""
        charge = self.find(charge_id)
        charge |= {"refunded": True, "amount_refunded": charge["amount"]}
        intent = self.find(charge["payment_intent"])
        intent |= {"status": "canceled", "amount_capturable": 0, "cancellation_reason": "automatic"}
        self._add_refund(charge, charge["amount"], "succeeded", {}, reason="expired_uncaptured_charge")
        self._emit("charge.expired", charge)
        self._emit("payment_intent.canceled", intent)

    def refund(
        self, charge_id: str, amount: int, status: str = "succeeded", metadata: dict[str, str] | None = None
    ) -> str:
        """Money goes back, or is to; the refund's id."""
        charge = self.find(charge_id)
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        refund = self._add_refund(charge, amount, status, metadata or {})
        self._emit("refund.created", refund)
        self._emit("charge.refunded", charge)
        return str(refund["id"])

    def becomes(self, refund_id: str, status: str) -> None:
        """A refund goes on: to succeeded, failed or canceled."""
        refund = self.find(refund_id)
        refund["status"] = status
        if status == "failed":
            refund["failure_reason"] = "expired_or_canceled_card"
            self.find(refund["charge"])["amount_refunded"] -= refund["amount"]
        self._emit("refund.updated", refund)
        if status == "failed":
            self._emit("refund.failed", refund)

    def dispute(self, charge_id: str, amount: int) -> str:
        """The customer's bank takes money back; the dispute's id."""
        charge = self.find(charge_id)
        charge["disputed"] = True
        dispute = self._add(
            self._objects[charge_id][0],
            stripe.Dispute,
            "du",
            amount=amount,
            balance_transactions=[],
            charge=charge_id,
            currency=charge["currency"],
            enhanced_eligibility_types=[],
            evidence={},
            evidence_details={"due_by": None, "has_evidence": False, "past_due": False, "submission_count": 0},
            is_charge_refundable=False,
            metadata={},
            payment_intent=charge["payment_intent"],
            reason="fraudulent",
            status="needs_response",
        )
        self._move(dispute, -amount)
        self._emit("charge.dispute.created", dispute)
        self._emit("charge.dispute.funds_withdrawn", dispute)
        return str(dispute["id"])

    def win(self, dispute_id: str) -> None:
        """The bank gives the money of a dispute back."""
        dispute = self.find(dispute_id)
        dispute["status"] = "won"
        self._move(dispute, dispute["amount"])
        self._emit("charge.dispute.closed", dispute)
        self._emit("charge.dispute.funds_reinstated", dispute)

    def register(self, url: str, enabled_events: tuple[str, ...] = ("*",), status: str = "enabled") -> None:
        """A webhook endpoint."""
        made = _published(
            stripe.WebhookEndpoint,
            id=f"we_{next(self._numbers):06}",
            object="webhook_endpoint",
            created=self._second,
            enabled_events=list(enabled_events),
            livemode=self.livemode,
            metadata={},
            status=status,
            url=url,
        )
        self.endpoints.append(made)

    def find(self, id_: str) -> Object:
        """The object as it is now."""
        return self._objects[id_][1]

    def events(self, event_type: str = "") -> list[Object]:
        """Every event there ever was of this type, or of all, oldest first."""
        return [event for _, event in self._events if event_type in ("", event["type"])]

    def thin(self, event: Object) -> Object:
        """The thin twin of an event."""
        about, of = event["data"]["object"], event["type"]
        kind = about["object"]
        related = {"id": about["id"], "type": kind, "url": f"/v1/{kind}s/{about['id']}"}
        twin = {"id": f"{event['id']}_thin", "object": "v2.core.event", "type": f"v1.{of}", "livemode": self.livemode}
        twin |= {"created": to_rfc3339(event["created"] * SECOND), "related_object": related}
        return twin | ({"context": event["account"]} if "account" in event else {})

    # Its making ------------------------------------------------------------------------------------------------------

    @property
    def _second(self) -> int:
        return self.now // SECOND

    def _add(self, account: str | None, cls: type, prefix: str, **fields: object) -> Object:
        made = _published(
            cls,
            id=f"{prefix}_{next(self._numbers):06}",
            object=cls.OBJECT_NAME,  # type: ignore[attr-defined]
            created=self._second,
            **({"livemode": self.livemode} if "livemode" in cls.__annotations__ else {}),
            **fields,
        )
        self._objects[made["id"]] = account, made
        return made

    def _add_refund(
        self, charge: Object, amount: int, status: str, metadata: dict[str, str], reason: str | None = None
    ) -> Object:
        return self._add(
            self._objects[charge["id"]][0],
            stripe.Refund,
            "re",
            amount=amount,
            charge=charge["id"],
            currency=charge["currency"],
            metadata=metadata,
            payment_intent=charge["payment_intent"],
            reason=reason,
            status=status,
        )

    def _move(self, dispute: Object, amount: int) -> None:
        moved = _published(
            stripe.BalanceTransaction,
            id=f"txn_{next(self._numbers):06}",
            object="balance_transaction",
            amount=amount,
            available_on=self._second,
            balance_type="payments",
            created=self._second,
            currency=dispute["currency"],
            fee=0,
            fee_details=[],
            net=amount,
            reporting_category="dispute" if amount < 0 else "dispute_reversal",
            source=dispute["id"],
            status="available",
            type="adjustment",
        )
        dispute["balance_transactions"].append(moved)

    def _emit(self, event_type: str, about: Object) -> None:
        number = next(self._numbers)  # so that the ids are the same where an event is not made
        if event_type in self.never_made:
            return
        account = self._objects[about["id"]][0]
        event = _published(
            stripe.Event,
            id=f"evt_{number:06}",
            object="event",
            api_version=stripe.api_version,
            created=self._second,
            data={"object": deepcopy(about)},
            livemode=self.livemode,
            pending_webhooks=1,
            request={"id": None, "idempotency_key": None},
            type=event_type,
        )
        self._events.append((account, event))
        of_account = {"account": account} if account else {}
        self.outbox += [event | of_account] * self.copies(event)

    # What is answered ------------------------------------------------------------------------------------------------

    def _admit(self, request: Request) -> str | None:
        """The account that is asked about; refuses whoever may not."""
        account = request.headers.get("stripe-account")
        self.queries.append((request.url.path, request.url.query, account))
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise _Refused(401, "Invalid API Key provided: rk_test_******")
        if request.url.path in self.forbidden or account not in self.accounts:
            raise _Refused(403, "The provided key does not have the required permissions.")
        self._count_call()
        return account

    def _count_call(self) -> None:
        if self.per_second is None:
            return
        now = time.monotonic()
        while self._calls and self._calls[0] <= now - 1:
            self._calls.popleft()
        if len(self._calls) >= self.per_second:
            self.refused += 1
            raise _Refused(429, "Request rate limit exceeded.")
        self._calls.append(now)

    async def _retrieve(self, request: Request) -> Response:
        account, kind, id_ = self._admit(request), request.path_params["kind"], request.path_params["id"]
        cls = _RETRIEVED.get(kind)
        owner, found = self._objects.get(id_, (None, None))
        if cls is None or found is None or owner != account or found["object"] != cls.OBJECT_NAME:
            raise _Refused(404, f"No such {kind}: '{id_}'")
        asked = _parameters(request, {"expand"})
        return JSONResponse(self._expanded(found, cls, asked.get("expand", [])))

    async def _list(self, request: Request) -> Response:
        account, kind = self._admit(request), request.path_params["kind"]
        if kind not in _LISTED:
            raise _Refused(404, f"Unrecognized request URL (GET: /v1/{kind})")
        asked = _parameters(request, set(_LISTED[kind].__annotations__))
        rows = self._rows(kind, account, asked)
        limit = int(asked.get("limit", 10))
        if not 1 <= limit <= 100:
            raise _Refused(400, "Invalid integer: limit")
        if after := asked.get("starting_after"):
            ids = [row["id"] for row in rows]
            if after not in ids:
                raise _Refused(400, f"No such object: '{after}'")
            rows = rows[ids.index(after) + 1 :]
        paths = [path.removeprefix("data.") for path in asked.get("expand", [])]
        cls = _RETRIEVED.get(kind, stripe.Event)
        data = [self._expanded(row, cls, paths) for row in rows[:limit]]
        more = len(rows) > limit
        return JSONResponse({"object": "list", "data": data, "has_more": more, "url": f"/v1/{kind}"})

    def _rows(self, kind: str, account: str | None, asked: dict[str, Any]) -> list[Object]:
        """Newest first."""
        created = {name: int(value) for name, value in asked.get("created", {}).items()}
        first, end = created.get("gte", 0), created.get("lt", 2**40)
        if kind == "webhook_endpoints":
            rows = self.endpoints
        elif kind == "events":
            types = asked.get("types", [])
            if len(types) > 20:
                raise _Refused(400, "Array types exceeded maximum 20 allowed elements.")
            shown = self.now - self.appears_after, self.now - 30 * DAY
            rows = [
                event
                for owner, event in self._events
                if owner == account
                and (not types or event["type"] in types)
                and shown[1] <= event["created"] * SECOND <= shown[0]
            ]
        else:
            held = list(self._objects.values())
            rows = [o for owner, o in held if owner == account and o["object"] == kind.removesuffix("s")]
        return [row for row in reversed(rows) if first <= row["created"] < end]

    def _expanded(self, found: Object, cls: type, paths: list[str]) -> Object:
        made = deepcopy(found)
        for name in paths:
            if name == "refunds" and cls is stripe.Charge:
                made[name] = {"object": "list", "data": self._refunds_of(found["id"]), "has_more": False, "url": ""}
            elif name not in cls.__annotations__ or not isinstance(made[name], str | NoneType):
                raise _Refused(400, f"This property cannot be expanded ({name}).")
            elif made[name] is not None:
                made[name] = deepcopy(self.find(made[name]))
        return made

    def _refunds_of(self, charge_id: str) -> list[Object]:
        held = [deepcopy(o) for _, o in list(self._objects.values())]
        return [o for o in reversed(held) if o["object"] == "refund" and o["charge"] == charge_id]


def signed(body: bytes, at: Instant, secret: str = SECRET) -> dict[str, str]:
    """The header that comes with the body."""
    second = at // SECOND
    mac = hmac.new(secret.encode(), b"%d.%s" % (second, body), hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={second},v1={mac}"}


def body_of(event: Object) -> bytes:
    """The event as a webhook brings it: Stripe sends it indented."""
    return json.dumps(event, indent=2).encode()


def _published(cls: type, **fields: object) -> Object:
    """An object of this class, held to the fields that the package publishes: null where nothing is given."""
    hints = {name: hint for name, hint in cls.__annotations__.items() if name not in _ABSENT}
    made = {name: None for name, hint in hints.items() if NoneType in get_args(hint)} | fields
    assert made.keys() == hints.keys(), (cls, made.keys() ^ hints.keys())
    for name, hint in hints.items():
        if get_origin(hint) is Literal:
            assert made[name] in get_args(hint), (cls, name, made[name])
    return made


def _parameters(request: Request, published: set[str]) -> dict[str, Any]:
    """The query's parameters, lists and tables put together; one that is not documented is refused."""
    asked: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        match = re.fullmatch(r"(\w+)(?:\[(\w*)\])?", name)
        if not match or match[1] not in published:
            raise _Refused(400, f"Received unknown parameter: {name}")
        if match[2] is None:
            asked[match[1]] = value
        elif match[2].isdigit() or not match[2]:
            asked.setdefault(match[1], []).append(value)
        else:
            asked.setdefault(match[1], {})[match[2]] = value
    return asked


async def _refusal(_request: Request, refused: Exception) -> Response:
    assert isinstance(refused, _Refused)
    error = {"error": {"type": "invalid_request_error", "message": str(refused)}}
    return JSONResponse(error, refused.status, {"retry-after": "1"} if refused.status == 429 else None)
