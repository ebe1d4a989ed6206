"""Where a configuration comes from: a TOML file, over it a directory of secrets, over that the environment.

Each layer is a tree of tables. A key that ends in `_file` names a file that holds the value; it is read within its
layer, so that a value in the environment wins over a `_file` in the TOML file.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from config.problems import dotted

Table: TypeAlias = dict[str, Any]

PREFIX = "REFUND_LEDGER_"
_OWN = ("CONFIG", "SECRETS_DIR")
# Kubernetes puts these into every container beside a service that is named refund-ledger.
_KUBERNETES = re.compile(r"SERVICE_(HOST|PORT(_.*)?)|PORT(_[0-9]+_.*)?")
_FILE_MAX = 2**20


@dataclass
class Raw:
    """All layers in one, not yet validated."""

    file: Path
    values: Table = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """What relative paths count from."""
        return self.file.parent


def read(path: str | Path | None, environ: Mapping[str, str]) -> Raw:
    """The configuration of `path`, else of REFUND_LEDGER_CONFIG, else ./refund-ledger.toml, with all its layers."""
    named = path or environ.get(f"{PREFIX}CONFIG")
    raw = Raw(Path(named or "refund-ledger.toml").absolute())
    above = (_secret_files(environ, raw), _environment(environ, raw))
    # Everything may come from the environment; then there need not be a file.
    needed = bool(named) or not any(above)
    for layer in (_toml(raw, needed=needed), *above):
        _merge(raw.values, _with_files_read(layer, raw, ()))
    return raw


def _toml(raw: Raw, *, needed: bool) -> Table:
    if not needed and not raw.file.exists():
        return {}
    text = _text(raw.file, str(raw.file), raw)
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raw.problems.append(f"{raw.file}: is not TOML: {error}")
    except RecursionError:
        raw.problems.append(f"{raw.file}: is nested too deeply")
    return {}


def _secret_files(environ: Mapping[str, str], raw: Raw) -> Table:
    layer: Table = {}
    folder = environ.get(f"{PREFIX}SECRETS_DIR")
    if not folder:
        return layer
    try:
        # Hidden entries are Kubernetes' own.
        files = sorted(p for p in Path(folder).iterdir() if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raw.problems.append(f"{PREFIX}SECRETS_DIR: the directory cannot be read: {error.strerror}")
        return layer
    for file in files:
        text = _text(file, f"{PREFIX}SECRETS_DIR, file {file.name!a}", raw)
        _put(layer, file.name.lower().split("__"), "-" if text is None else text.strip(), raw)
    return layer


def _environment(environ: Mapping[str, str], raw: Raw) -> Table:
    layer: Table = {}
    for name in sorted(environ):
        short = name.removeprefix(PREFIX)
        if short != name and short not in _OWN and not _KUBERNETES.fullmatch(short):
            _put(layer, short.lower().split("__"), _plain(environ[name]), raw)
    return layer


def _plain(text: str) -> object:
    # Only what looks like a list or a table is JSON: a token of digits has to stay the text that it is.
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text  # the model will say that this is not a list
    return text


def _put(layer: Table, names: list[str], value: object, raw: Raw) -> None:
    table = layer
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raw.problems.append(f"{dotted(*names)}: is inside {dotted(name)}, which is given as a value as well")
            return
    table[names[-1]] = value


def _with_files_read(table: Table, raw: Raw, above: tuple[str, ...]) -> Table:
    read_in: Table = {}
    for key, value in table.items():
        target = key.removesuffix("_file")
        if isinstance(value, dict):
            read_in[key] = _with_files_read(value, raw, (*above, key))
        elif target in (key, "") or not isinstance(value, str):
            read_in[key] = value
        elif target in table:
            raw.problems.append(f"{dotted(*above, key)}: {target} is given as well; keep one of the two")
        else:
            # The path is not shown: it may be the secret itself, put under the wrong key.
            text = _text(raw.folder / value, dotted(*above, key), raw)
            read_in[target] = "-" if text is None else text.strip()  # in place of the unread, not missing as well
    return read_in


def _text(file: Path, name: str, raw: Raw) -> str | None:
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_MAX + 1)
        if len(content) <= _FILE_MAX:
            return content.decode("utf-8-sig")
        raw.problems.append(f"{name}: the file is larger than 1MiB")
    except UnicodeDecodeError:
        raw.problems.append(f"{name}: the file is not UTF-8 text")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        mend = "; refund-ledger init writes one" if file == raw.file and isinstance(error, FileNotFoundError) else ""
        raw.problems.append(f"{name}: the file cannot be read: {reason}{mend}")
    return None


def _merge(below: Table, above: Table) -> None:
    for name, value in above.items():
        # The environment tells no capitals from small letters; a token's name may have some.
        key = name if name in below else next((known for known in below if known.lower() == name), name)
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value
