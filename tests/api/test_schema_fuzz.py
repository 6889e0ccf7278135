"""The description of the API and the API agree: whatever is sent, no answer is a 5xx and every
answer has the shape that /openapi.json promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure, FailureGroup

from caiwutong.api.app import create_app
from caiwutong.db.migrate import migrate
from support.engines import BackgroundLoop, EngineSession
from support.wired import House, open_house

pytestmark = [pytest.mark.engine, pytest.mark.slow]


class Running:
    """The API on a real socket, in a loop of its own."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._loop = BackgroundLoop()
        self.house: House = self._loop.run(open_house(database_url, folder))
        self._app = create_app(self.house.services)
        config = uvicorn.Config(
            self._app, host="127.0.0.1", port=0, lifespan="off", log_config=None, ws="none"
        )  # type: ignore[arg-type]
        self._server = uvicorn.Server(config)
        self._serving: Any = None
        self._loop.run(self._start())
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def _start(self) -> None:
        self._serving = asyncio.ensure_future(self._server._serve())  # pyright: ignore
        while not self._server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def _stop(self) -> None:
        await self._app.close()
        self._server.should_exit = True
        await self._serving
        await self.house.services.database.close()

    def close(self) -> None:
        self._loop.run(self._stop())
        self._loop.close()


def migrated(url: str) -> None:
    migrate(url)


@pytest.fixture(scope="module")
def running(engines: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with engines.database(migrated) as url:
        api = Running(url, tmp_path_factory.mktemp("fuzz"))
        yield api
        api.close()


ROUNDS = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
ENDLESS = "/v1/events"

load_all_checks()
PROMISES = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    ]
)
"""Not asked: that all valid data is accepted. The schema cannot say which accounts exist."""


def test_no_request_breaks_a_promise_of_the_description(running: Running):
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    broken: list[str] = []
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == ENDLESS:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            tried += 1
            try:
                _attempt(operation.as_strategy(generation_mode=mode), running)
            except Unsatisfiable:
                continue
            except (AssertionError, Failure, FailureGroup) as failure:
                broken.append(f"{operation.label} ({mode.value}): {_words(failure)}")
    assert not broken, "\n\n".join(broken)
    assert tried > 80


def _words(failure: BaseException) -> str:
    inner = failure.exceptions if isinstance(failure, FailureGroup) else (failure,)
    return "; ".join(str(each) for each in inner)


def _attempt(cases: Any, running: Running) -> None:
    @ROUNDS
    @given(case=cases)
    def attempt(case: Any) -> None:
        answer = case.call(headers=running.house.bearer)
        assert answer.status_code < 500, f"{answer.status_code} {answer.text[:500]}"
        case.validate_response(answer, checks=PROMISES)

    attempt()
