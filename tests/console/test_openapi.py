"""The description of the API is true."""

from typing import Any

from console.access import Access
from console.app import routes
from console.context import Context
from console.health import Health
from console.openapi import document
from ledger.policy import Policy
from tests.console.harness import Desk
from tests.ledger.build import order, refund

Json = dict[str, Any]


async def test_it_describes_every_address_and_no_other(desk: Desk) -> None:
    context = Context(desk.database, desk.journal, {}, Policy(), lambda: 0)
    there = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in routes(context, Access({}), Health(desk.database))
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method) for path, item in (await desk.get("/openapi.json"))["paths"].items() for method in item}
    assert described == there


async def test_every_answer_has_just_the_members_that_it_describes(desk: Desk) -> None:
    await desk.tell(order("partially_refunded", 1500), refund("re_1", 1000), refund("re_2", payment_ids=()))
    async with desk.followed():
        for number, action, body in ((0, "note", {"text": "hm"}), (1, "resolve", {"reason": "known"})):
            await desk.decide((await desk.entry(number))["id"], action, **body)
    page = await desk.get("/api/v1/entries")
    check("Page", page)
    for entry in page["entries"]:
        check("EntryWithHistory", await desk.get(f"/api/v1/entries/{entry['id']}"))
    check("Order", await desk.get("/api/v1/orders/shop/1001"))
    check("Summary", await desk.get("/api/v1/summary"))
    check("Problem", (await desk.viewer.get("/api/v1/entries?limit=0")).json())


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    for reference in references(whole):
        found: Any = whole
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [str(value["$ref"])] if "$ref" in value else []
        return own + [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


def check(name: str, value: Json) -> None:
    fits(document()["components"]["schemas"][name], value, name)


def fits(schema: Json, value: object, where: str) -> None:
    """What the schema says of types, members and values; as much of JSON Schema as the description uses."""
    if "$ref" in schema:
        fits(document()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], value, where)
    elif "anyOf" in schema:
        assert schema["anyOf"][1] == {"type": "null"}
        if value is not None:
            fits(schema["anyOf"][0], value, where)
    elif "allOf" in schema:
        parts = [document()["components"]["schemas"]["Entry"], schema["allOf"][1]]
        properties = {name: s for part in parts for name, s in part["properties"].items()}
        fits({"type": "object", "properties": properties}, value, where)
    elif "enum" in schema:
        assert value in schema["enum"], where
    else:
        typed(schema, value, where)


TYPES: dict[str, type | None] = {
    "string": str, "integer": int, "boolean": bool, "object": dict, "array": list, "null": type(None),
}  # fmt: skip


def typed(schema: Json, value: object, where: str) -> None:
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert type(value) in [TYPES[name] for name in names], f"{where}: {value!r}"
    if isinstance(value, list):
        for item in value:
            fits(schema["items"], item, f"{where}[]")
    elif isinstance(value, dict) and "properties" in schema:
        open_ended = where.endswith("Order.facts[]")  # each kind of fact has members of its own
        assert open_ended or set(value) == set(schema["properties"]), where
        for name, part in schema["properties"].items():
            fits(part, value[name], f"{where}.{name}")
