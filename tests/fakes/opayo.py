"""Opayo: its Reporting and Admin API, with signed commands in a form, errors with HTTP 200, and answers in Latin-1."""

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.fakes.faults import Faults, serving

VENDOR, USER, PASSWORD = "printshop", "refundledger", "pass & word <1>"


def guid(number: int) -> str:
    """A vpstxid."""
    return f"5C2D9E9B-814B-8B59-326C-{number:012X}"


def transaction(number: int, kind: str, amount: str, state: int = 16, *related: int, **more: str) -> dict[str, Any]:
    """A transaction; `related` are the numbers of those that it belongs with."""
    return {
        "vpstxid": guid(number),
        "vendortxcode": f"code-{number}",
        "transactiontype": kind,
        "txstateid": str(state),
        "status": "Successfully authorised transaction." if state == 16 else "",
        "amount": amount,
        "currency": "GBP",
        "started": "20/11/2026 12:00:00.123",
        "completed": "20/11/2026 12:00:01.456",
        "cardholder": "Zoë Johnson",
        "customeremail": "zoe@example.com",
        "last4digits": "4242",
        "related": [guid(one) for one in related],
        **more,
    }


@dataclass
class FakeOpayo:
    """One vendor."""

    transactions: dict[str, dict[str, Any]] = field(default_factory=dict)
    related_allowed: bool = True
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults = Faults(Starlette(routes=[Route("/access/access.htm", self._answer, methods=["POST"])]))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with serving(self.faults) as address:
            yield address

    def has(self, *transactions: dict[str, Any]) -> None:
        """These are there, or are now so."""
        self.transactions |= {one["vpstxid"]: one for one in transactions}

    async def _answer(self, request: Request) -> Response:
        form = (await request.body()).decode()
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        text = dict(parse_qsl(form, strict_parsing=True))["XML"]
        told = re.fullmatch(r"<vspaccess>(.*)<signature>([0-9a-f]{32})</signature></vspaccess>", text)
        asked = ET.fromstring(text)
        command = asked.findtext("command") or ""
        self.commands.append(command)
        expected = hashlib.md5(f"{told[1]}<password>{PASSWORD}</password>".encode()).hexdigest() if told else ""
        if not told or told[2] != expected or asked.findtext("vendor") != VENDOR or asked.findtext("user") != USER:
            return _reply("0010", {"error": "The signature is not valid"})
        return {
            "version": self._version,
            "getTransactionList": self._list,
            "getTransactionDetail": self._detail,
            "getRelatedTransactions": self._related,
        }[command](asked)

    def _version(self, _asked: ET.Element) -> Response:
        return _reply("0000", {"version": "1.00"})

    def _list(self, asked: ET.Element) -> Response:
        kinds = {kind.text for kind in asked.findall("txtypes/txtype")}
        since, until = (_moment(asked.findtext(name) or "") for name in ("startdate", "enddate"))
        found = [
            one
            for one in self.transactions.values()
            if one["transactiontype"].upper() in kinds and since <= _moment(one["started"][:19]) <= until
        ]
        first, last = int(asked.findtext("startrow") or 1), int(asked.findtext("endrow") or 50)
        return _rows(found[first - 1 : last], len(found))

    def _detail(self, asked: ET.Element) -> Response:
        found = self.transactions.get(asked.findtext("vpstxid") or "")
        if not found:
            return _reply("0043", {"error": "Unable to find the transaction"})
        return _reply("0000", {name: value for name, value in found.items() if name != "related"})

    def _related(self, asked: ET.Element) -> Response:
        if not self.related_allowed:
            return _reply("0034", {"error": "You do not have permission"})
        of_it = self.transactions[asked.findtext("vpstxid") or ""]["related"]
        return _rows([self.transactions[one] for one in of_it if one in self.transactions], len(of_it))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%d/%m/%Y %H:%M:%S")  # noqa: DTZ007 - all of one zone


def _rows(shown: list[dict[str, Any]], total: int) -> Response:
    names = ("vpstxid", "vendortxcode", "transactiontype", "started", "amount", "currency", "cardholder")
    transactions = ET.Element("transactions")
    ET.SubElement(transactions, "totalrows").text = str(total)
    for one in shown:
        row = ET.SubElement(transactions, "transaction")
        for name in names:
            ET.SubElement(row, name).text = one[name]
        ET.SubElement(row, "result").text = "SUCCESS"
    return _reply("0000", {}, transactions)


def _reply(code: str, told: dict[str, str], inside: ET.Element | None = None) -> Response:
    answer = ET.Element("vspaccess")
    for name, value in {"errorcode": code, "timestamp": "24/11/2026 12:00:00", **told}.items():
        ET.SubElement(answer, name).text = value
    if inside is not None:
        answer.append(inside)
    return Response(ET.tostring(answer, encoding="ISO-8859-1", xml_declaration=True), media_type="text/xml")
