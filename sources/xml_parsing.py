"""Taking apart XML from outside: elements and text, and nothing else that XML can do."""

from typing import NoReturn
from xml.parsers import expat

from sources.base import NotUnderstood
from sources.parsing import JsonObject

_DEPTH_MAX = 50


def xml_object(body: bytes) -> JsonObject:
    """The document as an object with its root element; dashes in names become underscores.

    An element with elements inside is an object, and one that is repeated a list; with `type="array"` it is the list
    of what is inside, with `nil="true"` None, else its text without blanks around it. Raises NotUnderstood, also for
    a document type: it could define entities.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)  # noqa: FBT003 - this is all of it
    except (expat.ExpatError, LookupError, ValueError):  # the last two for an encoding that it names
        raise NotUnderstood("the content is not XML") from None
    return _object(reader.levels[0])


def xml_items(value: object) -> list[object]:
    """What stands once, several times, or not at all, as a list."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def _refuse(*_: object) -> NoReturn:
    raise NotUnderstood("the content has a document type")


class _Reader:
    """The elements that are open, outermost first."""

    def __init__(self) -> None:
        self.levels: list[list[tuple[str, object]]] = [[]]
        """What is inside each of them."""
        self._attributes: list[dict[str, str]] = []
        self._text: list[str] = []

    def start(self, _name: str, attributes: dict[str, str]) -> None:
        if len(self.levels) > _DEPTH_MAX:
            raise NotUnderstood("the content is nested too deeply")
        self.levels.append([])
        self._attributes.append(attributes)
        self._text.clear()

    def end(self, name: str) -> None:
        inside, attributes = self.levels.pop(), self._attributes.pop()
        value: object
        if attributes.get("nil") == "true":
            value = None
        elif attributes.get("type") == "array":
            value = [item for _, item in inside]
        else:
            value = _object(inside) if inside else "".join(self._text).strip()
        self._text.clear()
        self.levels[-1].append((name.replace("-", "_"), value))

    def text(self, text: str) -> None:
        self._text.append(text)


def _object(inside: list[tuple[str, object]]) -> JsonObject:
    grouped: dict[str, list[object]] = {}
    for name, value in inside:
        grouped.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in grouped.items()}
