"""What is wrong with a configuration: one line for each mistake, which names the key and the mend, never a secret."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails


class ConfigError(Exception):
    """The configuration has mistakes: all of them, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def dotted(*names: object) -> str:
    """The key as people write it; a name that TOML would have to quote is quoted."""
    return ".".join(text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else ascii(text) for text in map(str, names))


def nearest(name: str, names: Iterable[str]) -> str:
    """A question with the name that is close, else the names there are."""
    known = sorted(names)
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"


def explain(error: ValidationError, model: type[BaseModel], *table: str) -> list[str]:
    """A line for each fault that `model` found in the table of that name."""
    faults = error.errors(include_url=False)
    # A list whose only items are wrong counts as empty as well.
    wrong_items = {fault["loc"][:-1] for fault in faults}
    return [_line(f, model, table) for f in faults if f["type"] != "too_short" or f["loc"] not in wrong_items]


def _line(fault: ErrorDetails, model: type[BaseModel], table: Sequence[str]) -> str:
    location = fault["loc"]
    field = model.model_fields.get(str(location[0])) if location else None
    if field and field.discriminator:
        location = (*location[:1], *location[2:])  # the second only says which of the models it was
    key = dotted(*table, *location) or "configuration"
    hint = field.description if field and len(location) == 1 else None
    match fault["type"]:
        case "extra_forbidden":
            # Its value stays out of sight: it may be a secret under a misspelt name.
            known = model.model_fields if len(location) == 1 else ()
            return f"{key}: is not a key; {nearest(str(location[-1]), known)}" if known else f"{key}: is not a key"
        case "missing":
            return f"{key}: is missing; {hint or 'add it'}"
        case "too_short":
            return f"{key}: is empty; {hint or 'name at least one or leave it out'}"
        case "union_tag_not_found" | "union_tag_invalid":
            chosen = field.discriminator if field else ""
            choice = fault["ctx"].get("expected_tags", "").replace("'", "")
            return f"{key}.{chosen}: choose from {choice}" if choice else f"{key}.{chosen}: is missing; add it"
        case "model_type" | "model_attributes_type":
            message = "has to be a table"
        case "value_error":
            message = str(fault["ctx"]["error"])
        case _:
            message = fault["msg"].replace("Input should be", "has to be").replace("tuple", "list")
    value = fault["input"]
    open_to_all = field is not None and field.repr and not _holds_secret(field.annotation)
    if open_to_all and isinstance(value, str | int):
        return f"{key} = {ascii(value)[:100]}: {message}"
    return f"{key}: {message}"


def _holds_secret(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(_holds_secret(field.annotation) for field in annotation.model_fields.values())
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))
