"""The real Prometheus and Alertmanager around the real processes, with the shipped files; faster, on loopback."""

import asyncio
import re
import shutil
import socket
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.deploy.rules import DEPLOY, program
from tests.fakes.faults import serving

TRIES = 900
PAUSE_SECONDS = 0.2


class Watch:
    """What Prometheus knows, and which alerts reached whom."""

    def __init__(self) -> None:
        self.told: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        """By receiver and name of the alert, the alert as it came last."""
        self.prometheus = httpx.AsyncClient(timeout=30, trust_env=False)

    async def query(self, expr: str) -> list[float]:
        """The values that the expression has now."""
        reply = await self.prometheus.get("/api/v1/query", params={"query": expr})
        assert reply.status_code == 200, reply.text
        return [float(series["value"][1]) for series in reply.json()["data"]["result"]]

    async def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait for it."""
        for _ in range(TRIES):
            if true():
                return
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"not {what}; told: { {name: list(alerts) for name, alerts in self.told.items()} }")

    async def until_query(self, expr: str) -> None:
        """Wait until the expression has a value, whatever it is."""
        for _ in range(TRIES):
            if await self.query(expr):
                return
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"nothing comes of {expr}")

    async def receive(self, request: Request) -> Response:
        """What Alertmanager sends."""
        for alert in (await request.json())["alerts"]:
            self.told[request.path_params["receiver"]][alert["labels"]["alertname"]] = alert
        return Response()


@asynccontextmanager
async def watching(folder: Path, jobs: dict[str, str]) -> AsyncIterator[Watch]:
    """Both programs, scraping these jobs at these addresses."""
    prometheus, alertmanager = program("prometheus"), program("prometheus-alertmanager", "alertmanager")
    watch = Watch()
    own, other = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
    with ExitStack() as stack:
        app = Starlette(routes=[Route("/{receiver}", watch.receive, methods=["POST"])])
        _write_alertmanager(folder, stack.enter_context(serving(app)))
        _write_prometheus(folder, jobs, other)
        stack.enter_context(
            _running(folder, alertmanager, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/am",
                     f"--web.listen-address={other}", "--cluster.listen-address=")
        )  # fmt: skip
        stack.enter_context(
            _running(folder, prometheus, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
                     f"--web.listen-address={own}")
        )  # fmt: skip
        watch.prometheus.base_url = httpx.URL(f"http://{own}")
        async with watch.prometheus:
            for address in (own, other):
                await _until_ready(address)
            yield watch


def _write_prometheus(folder: Path, jobs: dict[str, str], alertmanager: str) -> None:
    told = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    told["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    told["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
    assert {job["job_name"] for job in told["scrape_configs"]} == set(jobs)
    for job in told["scrape_configs"]:
        job["static_configs"] = [{"targets": [jobs[job["job_name"]]]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(told))
    shutil.copytree(DEPLOY / "prometheus" / "rules", folder / "rules")
    for file in (folder / "rules").iterdir():
        file.write_text(re.sub(r"^( +for:) \w+$", r"\1 1s", file.read_text(), flags=re.MULTILINE))


def _write_alertmanager(folder: Path, receiver: str) -> None:
    told = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    told["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for one in told["receivers"]:
        one["webhook_configs"][0]["url"] = f"{receiver}/{one['name']}"
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(told))


@contextmanager
def _running(folder: Path, *command: str) -> Iterator[None]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


async def _until_ready(address: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(TRIES):
            try:
                if (await client.get(f"http://{address}/-/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError(f"{address} does not get ready")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
