"""The shape of the house, read from its source: who may know whom, how large anything may be, who may tell the time."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = {
    "cli": 4,
    "listener": 3,
    "sync": 3,
    "console": 3,
    "storage": 2,
    "sources": 1,
    "ledger": 0,
    "config": 0,
}
VENDORS = {"stripe"}
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every source file of these folders, with what it says."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_bytes())


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every import, also inside functions: its line, and the package it begins with; empty for a relative one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "" if node.level else (node.module or "").partition(".")[0]


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def only_for_types(tree: ast.AST) -> Iterator[ast.If]:
    """What no running program executes."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")


def test_every_room_is_on_a_floor() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "bench"} == set(FLOORS)


def test_a_room_imports_only_from_the_floors_below() -> None:
    wrong = [
        f"{path}:{line} imports {package}"
        for room, floor in FLOORS.items()
        for path, tree in files(room)
        for line, package in imports(tree)
        if package in (*FLOORS, "tests", "bench", "")
        and package != room
        and (package not in FLOORS or FLOORS[package] >= floor)
    ]
    assert wrong == []


def test_vendor_clients_are_imported_only_where_a_source_uses_them() -> None:
    wrong = []
    for path, tree in files(*FLOORS):
        blocks = [*functions(tree), *only_for_types(tree)]
        inside = {line for block in blocks for line, _ in imports(block)}
        wrong += [
            f"{path}:{line}"
            for line, package in imports(tree)
            if package in VENDORS and (path.parts[0] != "sources" or line not in inside)
        ]
    assert wrong == []


def test_files_and_functions_fit_in_the_head() -> None:
    large = []
    for path, tree in files(*FLOORS, "tests", "bench"):
        if (lines := (ROOT / path).read_bytes().count(b"\n")) > FILE_LINES_MAX:
            large.append(f"{path} has {lines} lines")
        for function in functions(tree):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                large.append(f"{path}:{function.lineno} {function.name} has {length} lines")
    assert large == []


def test_money_is_never_a_float() -> None:
    assert [*calls("float", "ledger", "storage")] == []


def test_time_comes_in_from_outside() -> None:
    clock = r"time\.(time|time_ns|localtime|gmtime)|datetime\.(now|utcnow|today)|date\.today"
    told = {call.partition(":")[0] for call in calls(clock, "ledger", "sources")}
    assert told <= {"sources/http_client.py"}  # the clock that those are given who ask an outside system
    hidden = [
        f"{path}:{node.lineno}"
        for path, tree in files("ledger", "sources")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
    ]
    assert hidden == []


def test_no_path_leads_out_of_the_project() -> None:
    out = re.compile(r"(^|/)\.\.(/|$)|^/(home|root|mnt|media|srv|opt|usr)(/|$)")
    wrong = [
        f"{path}:{node.lineno} {node.value!a}"
        for path, tree in files(*FLOORS, "bench")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and out.search(node.value)
    ]
    assert wrong == []


def calls(name: str, *rooms: str) -> Iterator[str]:
    """Where something of this name (a regular expression) is called."""
    for path, tree in files(*rooms):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and re.fullmatch(name, ast.unparse(node.func)):
                yield f"{path}:{node.lineno}"
