"""Hostile bytes: either a value, or NotUnderstood, and nothing else."""

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.money import MoneyError, from_decimal
from sources.base import NotUnderstood
from sources.parsing import (
    ITEMS_MAX,
    array_items,
    array_member,
    basic_password,
    bearer,
    canonical,
    clean,
    identifier,
    is_array,
    json_object,
)

NOT_JSON = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"a":NaN}',
    b'{"a":-Infinity}',
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":' * 100_000,
    b"[" * 100_000,
    b"\xff{}",
    b'{"a":"\xff"}',
    b'{"a":1} x',
    '{"a":1}'.encode("utf-16"),
]


@pytest.mark.parametrize("body", NOT_JSON, ids=[str(body[:12]) for body in NOT_JSON])
def test_what_is_not_a_json_object_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        json_object(body)


def test_decimals_stay_exact() -> None:
    assert json_object(b'{"a":15.10,"b":1e400}') == {"a": Decimal("15.10"), "b": Decimal("1e400")}


def test_a_number_beyond_all_bounds_is_one_that_no_reader_takes() -> None:
    body = b'{"a":1e9999999999999999999,"b":[-1e-9999999999999999999]}'
    told = json_object(body)
    assert not told["a"].is_finite()
    with pytest.raises(MoneyError):
        from_decimal(told["a"], "GBP")
    [(raw, value)], others = array_member(body, "b")
    assert (raw, value.is_finite(), others["a"].is_finite()) == (b"-1e-9999999999999999999", False, False)


def test_a_byte_order_mark_is_no_content() -> None:
    assert json_object(b"\xef\xbb\xbf{}") == {}
    assert is_array(b"\xef\xbb\xbf \n[]")


def test_each_item_of_a_list_stays_as_it_arrived() -> None:
    assert array_items(b' [ {"b": 1.50, "a":"\xc3\xa9"} ,\n2 ] ') == [
        ('{"b": 1.50, "a":"é"}'.encode(), {"b": Decimal("1.50"), "a": "é"}),
        (b"2", 2),
    ]
    assert array_items(b"[ ]") == []


@pytest.mark.parametrize("body", [b"[", b"[1", b"[1,", b"[1,]", b"[1 2]", b"[1]]", b"[NaN]", b"[[" + b"[" * 99_999])
def test_a_broken_list_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        array_items(body)


def test_a_list_has_a_bound() -> None:
    assert len(array_items(b"[" + b"1," * (ITEMS_MAX - 1) + b"1]")) == ITEMS_MAX
    with pytest.raises(NotUnderstood, match="more than"):
        array_items(b"[" + b"1," * ITEMS_MAX + b"1]")


@given(st.binary())
def test_any_bytes_in_a_text_are_a_json_object_or_not_understood(text: bytes) -> None:
    with contextlib.suppress(NotUnderstood):
        json_object(b'{"a":"' + text + b'"}')


@given(st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5), max_size=5))
def test_a_list_is_split_as_the_standard_library_reads_it(items: list[object]) -> None:
    found = array_items(json.dumps(items, indent=1).encode())

    assert [value for _, value in found] == items
    assert [json.loads(raw) for raw, _ in found] == items


@given(st.binary())
def test_any_bytes_are_a_list_or_not_understood(body: bytes) -> None:
    with contextlib.suppress(NotUnderstood):
        array_items(b"[" + body)


def test_a_list_in_an_object_is_split_as_it_stood_there() -> None:
    body = b'\xef\xbb\xbf {"object": "list", "data" : [ {"a":1.50} , 7 ],\n"has_more":true } '

    assert array_member(body, "data") == ([(b'{"a":1.50}', {"a": Decimal("1.50")}), (b"7", 7)],
                                          {"object": "list", "has_more": True})  # fmt: skip
    assert array_member(b'{"data":[]}', "data") == ([], {})


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"data":{}}',
     b'{"data":[}', b'{"data":[],}', b'{"data":[]} 1', b'{"data":[]', b'{1:2,"data":[]}',
     b'{"data" []}', b'{"a":NaN,"data":[]}', b'{"data":[] "a":1}', b'{"data":' + b"[" * 99_999],
)  # fmt: skip
def test_an_object_without_such_a_list_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        array_member(body, "data")


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.lists(st.text()), max_size=3), st.lists(st.integers()))
def test_an_object_is_split_as_the_standard_library_reads_it(others: dict[str, object], items: list[int]) -> None:
    whole = {**others, "data": items}

    found, rest = array_member(json.dumps(whole, indent=1).encode(), "data")

    assert {**rest, "data": [value for _, value in found]} == whole


@given(st.binary())
def test_any_bytes_are_such_an_object_or_not_understood(body: bytes) -> None:
    with contextlib.suppress(NotUnderstood):
        array_member(b'{"data":[' + body, "data")


def test_the_order_of_keys_does_not_change_the_content() -> None:
    assert canonical(json_object(b'{"a":1,"b":[1.50]}')) == canonical(json_object(b'{ "b":[1.50], "a":1 }'))
    assert canonical(json_object(b'{"a":"\\ud800"}')) == b'{"a":"\\ud800"}'


def test_content_that_is_nested_too_deeply_is_not_understood() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(NotUnderstood):
        canonical(value)


@pytest.mark.parametrize("value", ["", "x" * 256, "é", "a\0b", "\ud800", None, True, 1.5, [], {}, 10**41])
def test_what_is_no_identifier_is_not_understood(value: object) -> None:
    with pytest.raises(NotUnderstood):
        identifier(value, "id")


def test_a_number_is_an_identifier_by_its_digits() -> None:
    assert identifier(1001, "id") == "1001"


@pytest.mark.parametrize("value", ["", " ", "x" * 256, "a\0b", "a\nb", "\ud800", None, True, {}])
def test_a_text_that_cannot_be_stored_is_none(value: object) -> None:
    assert clean(value) is None


def test_a_text_loses_the_blanks_around_it() -> None:
    assert clean(" Ünïcode 1 ") == "Ünïcode 1"


@pytest.mark.parametrize(
    ("header", "token", "password"),
    [
        ("Bearer t1", b"t1", b""),
        ("bearer  t1 ", b"t1", b""),
        ("Basic dXNlcjpwYTpzcw==", b"", b"pa:ss"),
        ("basic OnB3", b"", b"pw"),
        ("Basic ???", b"", b""),
        ("Basic", b"", b""),
        ("Basic dXNlcg==", b"", b""),
        ("Bearer \xe9", b"\xe9", b""),
        ("", b"", b""),
    ],
)
def test_credentials_are_found_in_the_authorization_header(header: str, token: bytes, password: bytes) -> None:
    headers = {"authorization": header}

    assert (bearer(headers), basic_password(headers)) == (token, password)
