"""XML from outside: what it becomes, and what is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.base import NotUnderstood
from sources.xml_parsing import xml_items, xml_object


def test_elements_become_objects_texts_lists_and_nothing() -> None:
    told = b"""<?xml version="1.0" encoding="UTF-8"?>
    <a-root><text> 5 &lt; 6 </text><nil nil="true"/><empty/><list type="array"><x>1</x><x>2</x></list>
    <none type="array"/><one><inner>\xc3\xa9</inner></one><twice>1</twice><twice>2</twice><![CDATA[ ]]></a-root>"""

    assert xml_object(told) == {
        "a_root": {
            "text": "5 < 6",
            "nil": None,
            "empty": "",
            "list": ["1", "2"],
            "none": [],
            "one": {"inner": "é"},
            "twice": ["1", "2"],
        }
    }


def test_the_encoding_is_that_of_the_document() -> None:
    assert xml_object('<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1")) == {"a": "é"}


def test_once_several_times_or_not_at_all_is_a_list() -> None:
    assert [xml_items(value) for value in (None, "", "x", {"a": 1}, ["x", "y"])] == [
        [], [], ["x"], [{"a": 1}], ["x", "y"],
    ]  # fmt: skip


HOSTILE = [
    b"",
    b"text",
    b"<a>",
    b"<a></b>",
    b"<a/><b/>",
    b"<a>\xff</a>",
    b"<a>\0</a>",
    "<é/>".encode("latin-1"),
    b'<?xml version="1.0" encoding="nonsense"?><a/>',
    b'<?xml version="1.0" encoding="hex"?><a/>',
    b'<?xml version="1.0" encoding="gb18030"?><a>\xff\xff</a>',
    b'<?xml version="1.0" encoding="utf-7"?><a>+ADw-</a>',
    b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    b"<!DOCTYPE a><a/>",
    b"<a>&undefined;</a>",
    b"<a>" * 100 + b"</a>" * 100,
    b"<a>" * 500_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_broken_deep_or_defines_anything_is_refused(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        xml_object(body)


@given(st.binary(max_size=200) | st.text("<>/abc&;![]\"'= ", max_size=80).map(str.encode))
def test_any_bytes_are_met_without_another_error(body: bytes) -> None:
    with suppress(NotUnderstood):
        assert len(xml_object(body)) == 1
