"""Finds the kinds of sources there are, and makes the configured ones. To add a kind is to add a file."""

import importlib
import os
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

import sources
from config import layers
from config.notices import CustomerNotice
from config.problems import ConfigError, dotted, explain, nearest
from config.settings import Settings, settings_of
from config.settings import blanked as settings_blanked
from ledger.instants import DAY, Instant
from ledger.policy import Gateway, Policy, Store
from sources.base import GatewaySettings, Source, StorefrontSettings

AnySource: TypeAlias = Source[Any]
T = TypeVar("T")

OPERATOR = "operator"
"""The source of the decisions in the journal."""


@dataclass(frozen=True)
class Configuration:
    """Everything that is configured, validated."""

    settings: Settings
    sources: dict[str, AnySource]


@cache
def kinds() -> dict[str, type[AnySource]]:
    """Every kind of source by its name. Vendor packages are not loaded: a source imports its own where it is used."""
    modules = [importlib.import_module(f"sources.{m.name}") for m in pkgutil.iter_modules(sources.__path__)]
    found = [cls for module in modules for cls in vars(module).values() if isinstance(cls, type)]
    return {cls.kind: cls for cls in found if issubclass(cls, Source) and "kind" in vars(cls)}


def load(path: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Configuration:
    """The configuration from its file, the secrets directory and the environment; ConfigError with every mistake."""
    raw = layers.read(path, environ)
    settings = settings_of(raw)
    tables = raw.values.get("sources")
    # What is not a table of tables is reported with the settings.
    tables = {n: t for n, t in tables.items() if isinstance(t, dict)} if isinstance(tables, dict) else {}
    made = {name: _make(name, table, raw.problems) for name, table in tables.items()}
    sources = {name: source for name, source in made.items() if source}
    _check_names(tables, sources, set(made) - set(sources), raw.problems)
    if settings and settings.customer_notice:
        _check_notice(settings.customer_notice, sources, set(made) - set(sources), raw.problems)
    if raw.problems or settings is None:
        raise ConfigError(raw.problems)
    return Configuration(settings, sources)


def policy(configuration: Configuration, created_at: Instant) -> Policy:
    """What pairing depends on. `created_at`: when the database was created."""
    settings = configuration.settings
    start = settings.ledger_start
    policy = Policy(
        grace=_instant(settings.grace_period),
        pending_limit=_instant(settings.pending_limit),
        ledger_start=_moment(start) if start else max(created_at - 90 * DAY, 0),
    )
    for name, source in configuration.sources.items():
        own = source.settings
        if own.grace_period is not None:
            policy.grace_of[name] = _instant(own.grace_period)
        if isinstance(own, GatewaySettings):
            stores = None if own.stores is None else frozenset(own.stores)
            policy.gateways[name] = Gateway(stores, source.payment_id_form)
        elif isinstance(own, StorefrontSettings):
            offline = frozenset(own.offline_methods)
            policy.stores[name] = Store(dict(own.payment_methods), offline, has_api=source.askable)
    return policy


def blanked(configuration: Configuration) -> dict[str, Any]:
    """The configuration to be shown: secrets as asterisks."""
    shown = settings_blanked(configuration.settings)
    shown["sources"] = {n: s.settings.model_dump(mode="json") for n, s in configuration.sources.items()}
    return shown


def _make(name: str, table: dict[str, Any], problems: list[str]) -> AnySource | None:
    key = dotted("sources", name)
    if not re.fullmatch(r"[a-z0-9_]{1,64}", name) or name == OPERATOR:
        problems.append(f"{key}: is not a name for a source; use a-z, 0-9 and _, and not {OPERATOR!r}")
    kind = table.get("kind")
    if kind is None:
        problems.append(f"{key}.kind: is missing; {nearest('', kinds())}")
        return None
    cls = kinds().get(kind) if isinstance(kind, str) else None
    if cls is None:
        problems.append(f"{key}.kind = {ascii(kind)[:100]}: is not a kind of source; {nearest(str(kind), kinds())}")
        return None
    try:
        return cls(name, cls.settings_model.model_validate(table))
    except ValidationError as error:
        problems.extend(explain(error, cls.settings_model, "sources", name))
        return None


def _check_names(
    tables: dict[str, dict[str, Any]], sources: dict[str, AnySource], broken: set[str], problems: list[str]
) -> None:
    """What sources say of each other, the broken ones too. One that is broken is not missed as well."""
    for name, table in tables.items():
        problems += [
            f"{dotted('sources', name, 'stores')}: {store!a} is not a storefront among the sources"
            for store in _as(list, table.get("stores"))
            if isinstance(store, str) and not _has_role(sources, broken, store, "storefront")
        ]
        for method, gateway in _as(dict, table.get("payment_methods")).items():
            key = dotted("sources", name, "payment_methods", method)
            if isinstance(gateway, str) and not _has_role(sources, broken, gateway, "gateway"):
                problems.append(f"{key}: {gateway!a} is not a gateway among the sources")
            if method in _as(list, table.get("offline_methods")):
                problems.append(f"{key}: is among offline_methods as well; keep one of the two")


def _as(kind: type[T], value: object) -> T:
    """The value where it is of this kind, else an empty one: that it is of another has been said."""
    return value if isinstance(value, kind) else kind()


def _check_notice(notice: CustomerNotice, sources: dict[str, AnySource], broken: set[str], problems: list[str]) -> None:
    problems += [
        f"customer_notice.except_sources: {name!a} is not a gateway among the sources"
        for name in notice.except_sources
        if not _has_role(sources, broken, name, "gateway")
    ]
    problems += [
        f"{dotted('customer_notice', 'stores', name)}: is not a storefront among the sources"
        for name in notice.stores
        if not _has_role(sources, broken, name, "storefront")
    ]


def _has_role(sources: dict[str, AnySource], broken: set[str], name: str, role: str) -> bool:
    return name in broken or (name in sources and sources[name].role == role)


def _instant(duration: timedelta) -> Instant:
    return duration // timedelta(microseconds=1)


def _moment(moment: datetime) -> Instant:
    return _instant(moment - datetime(1970, 1, 1, tzinfo=UTC))
