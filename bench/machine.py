"""The machine: what it is, which core does what, and what a process has used of it."""

import json
import os
import platform
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from bench.events import charges

_CORES = sorted(os.sched_getaffinity(0))
MEASURED_CORE = _CORES[0]
"""What is measured runs here, alone where there is a second core."""
OTHER_CORE = _CORES[-1]
"""What drives it runs here. PostgreSQL is not pinned."""

FSYNCS = 1_000
YARDSTICKS = 5_000
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Whatever is started meanwhile runs on this core, and so do its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def worker(core: int) -> Iterator[ProcessPoolExecutor]:
    """A process of its own on this core, for functions to be run in."""
    pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=os.sched_setaffinity, initargs=(0, {core}))
    with pool:
        yield pool


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident memory of a process: now, and its peak so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if name[:2] == "Vm"}
    return kib["VmRSS"] / 1024, kib["VmHWM"] / 1024


def describe(folder: Path, postgres_version: str) -> dict[str, str | int]:
    """What the figures depend on. `folder`: where the databases are going to be."""
    return {
        "cpu": _cpu_model(),
        "cores": len(_CORES),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": postgres_version,
        "uvicorn": version("uvicorn"),
        "uvloop": version("uvloop"),
        "json_us": f"{json_us():.1f} (to parse a webhook body; the lower, the faster and the quieter this machine)",
        "fsyncs_per_second": round(fsyncs_per_second(folder)),
        "load_average_before": f"{os.getloadavg()[0]:.1f}",
    }


def fsyncs_per_second(folder: Path) -> float:
    """How often 4 KiB can be appended to a file there and be on disk."""
    path = folder / "fsyncs"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    began = time.perf_counter()
    for _ in range(FSYNCS):
        os.write(fd, bytes(4096))
        os.fdatasync(fd)
    seconds = time.perf_counter() - began
    os.close(fd)
    path.unlink()
    return FSYNCS / seconds


def json_us() -> float:
    """A yardstick: microseconds of wall time to parse the body of a charge, the median."""
    [charge] = charges(1, 1, 0)
    times = []
    for _ in range(YARDSTICKS):
        began = time.perf_counter()
        json.loads(charge.body)
        times.append(time.perf_counter() - began)
    return median(times) * 1e6


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
