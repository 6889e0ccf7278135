"""A whole installation in a folder of its own, seen from outside: processes, HTTP, the CLI.

``House`` starts ``caiwutong up`` as anyone would, in a temporary folder and on a free port below
32768; ``Caller`` speaks to its API over sockets. Nothing here reaches into the running processes:
what it knows, it read from ``/proc``, from HTTP, from files of the data folder, or from a command.
Read next: ``tests/house_running``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from caiwutong.cli.month import Month, write_month
from caiwutong.engines.home import erase, free_port
from caiwutong.identity.http_signatures import sign
from caiwutong.kernel.clock import SharedClock
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.world import World, load_world
from support.engines import data_folder_for_tests
from support.processes import wait_until_nobody_works_on, working_on

READY = "is ready:"
"""What ``up`` says once everything answers; its hints follow, with a sandbox these last."""
HINTED = "Misbehave:"
ENDED = frozenset({"completed", "rejected", "cancelled", "reversed"})
_PROGRAMS = {
    "api": "serve api",
    "worker": "serve worker",
    "sandbox": "-m caiwutong.sandbox",
    "postgres": "/postgres -D",
    "nats": "nats-server --config",
}
_TROUBLE = (OSError, http.client.HTTPException)


def _bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return b"" if body is None else msgspec.json.encode(body)


class Answer(msgspec.Struct, frozen=True):
    """What the API said."""

    status: int
    data: Any
    headers: dict[str, str]


class Caller:
    """A machine caller. By bearer secret, or by HMAC where a ``secret`` is given."""

    def __init__(self, port: int, *, bearer: str = "", key_id: str = "", secret: str = "") -> None:
        self._port = port
        self._bearer = bearer
        self._key_id = key_id
        self._secret = urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
        self._threads = threading.local()

    def get(self, path: str) -> Any:
        """What stands at this address; anything but 200 fails."""
        answer = self.call("GET", path)
        assert answer.status == 200, answer
        return answer.data

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        """One POST of JSON, or of bytes as they are."""
        return self.call("POST", path, body, key=key)

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        """One request. Raises OSError or HTTPException when the connection breaks."""
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        )
        address, _, query = path.partition("?")
        headers = {} if isinstance(body, bytes) else {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        if self._bearer:
            headers["Authorization"] = f"Bearer {self._bearer}"
        else:
            headers |= sign(
                self._secret, self._key_id, method=method, path=address, query=query, body=raw,
                idempotency_key=key, created=int(time.time()),
                nonce=os.urandom(12).hex() if method != "GET" else "",
            )  # fmt: skip
        return self._send(method, path, raw, headers)

    def _send(self, method: str, path: str, raw: bytes, headers: dict[str, str]) -> Answer:
        connection: http.client.HTTPConnection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            self._threads.connection = connection
        try:
            connection.request(method, path, raw or None, headers)
            got = connection.getresponse()
            told = got.read()
        except BaseException:
            connection.close()
            self._threads.connection = None
            raise
        named = {name.lower(): value for name, value in got.getheaders()}
        as_json = "json" in named.get("content-type", "")
        return Answer(got.status, msgspec.json.decode(told) if as_json else told, named)

    def pay_until_taken(self, key: str, order: dict[str, Any], within_s: float = 60) -> Answer:
        """Send one order again and again, with the same key, until it is answered for good: taken
        or refused. What breaks or answers 5xx is no answer."""
        end = time.monotonic() + within_s
        while True:
            with contextlib.suppress(*_TROUBLE):
                answer = self.post("/v1/payments", order, key=key)
                if answer.status < 500:
                    return answer
            assert time.monotonic() < end, f"no answer for {key} in {within_s} s"
            time.sleep(0.1)

    def pay_many(self, orders: dict[str, dict[str, Any]], at_once: int = 8) -> dict[str, str]:
        """Pay all orders, each under its key, ``at_once`` at a time; key → payment id."""

        def one(item: tuple[str, dict[str, Any]]) -> tuple[str, str]:
            answer = self.pay_until_taken(*item)
            assert answer.status == 202, answer
            return item[0], answer.data["id"]

        with ThreadPoolExecutor(at_once) as threads:
            return dict(threads.map(one, orders.items()))

    def every(self, path: str) -> Iterator[Any]:
        """All items of a list, page by page."""
        cursor = ""
        while True:
            joint = "&" if "?" in path else "?"
            page = self.get(f"{path}{joint}limit=200" + (f"&cursor={cursor}" if cursor else ""))
            yield from page["items"]
            cursor = page.get("next")
            if not cursor:
                return


class House:
    """One installation. ``start`` and ``stop`` as often as wanted; ``erase`` at the end."""

    def __init__(
        self,
        *options: str,
        faults: str = "none",
        environment: dict[str, str] | None = None,
    ) -> None:
        """``options`` go to ``up`` as they are."""
        self.base = data_folder_for_tests()
        self.folder = self.base / "data"
        self.port = free_port(random.SystemRandom().randrange(21_000, 31_000))
        self.faults = faults
        self.lines: list[str] = []
        self._options = options
        self._environment = environment or {}
        self._process: subprocess.Popen[str] | None = None
        self._reading: threading.Thread | None = None

    # -- its life

    def start(self, within_s: float = 120) -> float:
        """Start it and wait until it says it is ready; how many seconds that took."""
        began = time.monotonic()
        self.lines = []
        argv = ["up", "--data-dir", str(self.folder), "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "caiwutong.cli", *argv, "--faults", self.faults,
             *self._options],
            env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, cwd=self.base,
        )  # fmt: skip
        self._reading = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reading.start()
        last = READY if "--no-sandbox" in self._options else HINTED
        while not any(last in line for line in self.lines):
            ended = self._process.poll()
            assert ended is None, f"up ended with {ended}: {self.said()}"
            assert time.monotonic() - began < within_s, f"not ready in {within_s} s: {self.said()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def stop(self, within_s: float = 60) -> int:
        """Ctrl-C. Its exit status; nothing may be left."""
        assert self._process is not None and self._reading is not None
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(within_s)
        self._reading.join(10)
        left = working_on(self.base)
        assert not left, f"left behind: {left}"
        return status

    def kill(self, within_s: float = 3.0) -> float:
        """``kill -9`` of the parent; seconds until nothing was left."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        return wait_until_nobody_works_on(self.base, within_s)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def erase(self) -> None:
        """End whatever still lives in the folder, and delete it."""
        if self._process is not None and self.runs:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
            if self.runs:
                self._process.kill()
                self._process.wait()
        for pid in working_on(self.base):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until_nobody_works_on(self.base, 10)
        erase(self.folder)
        erase(self.base)

    def said(self) -> str:
        """What ``up`` printed so far."""
        return "\n".join(self.lines)

    def environment(self) -> dict[str, str]:
        """The environment of every command here."""
        paths = ":".join(path for path in sys.path if path)
        ours = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "LANG": "C.UTF-8"}
        # Other tests share the cores, and a worker that stands back for them would not finish.
        return ours | {"CAIWUTONG_WORKER_NICE": "0"} | self._environment

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip())

    # -- its processes

    def pid(self, name: str, within_s: float = 30) -> int:
        """The process id of ``api``, ``worker``, ``sandbox``, ``postgres`` or ``nats``, as soon
        as there is one."""
        end = time.monotonic() + within_s
        while True:
            found = [
                pid
                for pid, words in working_on(self.base).items()
                if _PROGRAMS[name] in words and "guardian.py" not in words
            ]
            if found:
                return min(found)
            assert time.monotonic() < end, f"no {name} in {working_on(self.base)}"
            time.sleep(0.02)

    def kill_child(self, name: str) -> int:
        """``kill -9`` of one child; the process id it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def log_of(self, name: str) -> str:
        """The log of a child."""
        return (self.folder / "log" / f"{name}.log").read_text(errors="replace")

    def engine_urls(self) -> tuple[str, str]:
        """Where PostgreSQL (as its superuser) and NATS are, as the running instance noted it."""
        note = json.loads((self.folder / "run" / "engines.json").read_text())
        return note["database_url"], note["nats_url"]

    # -- its doors

    def caller(self, *, hmac: bool = False) -> Caller:
        """The demo tenant's machine caller."""
        known = json.loads((self.folder / "demo" / "credentials.json").read_text())
        if hmac:
            return Caller(self.port, key_id=known["key_id"], secret=known["secret"])
        return Caller(self.port, bearer=known["bearer"])

    def run(self, *words: str, within_s: float = 120) -> subprocess.CompletedProcess[str]:
        """``caiwutong <words>`` on this folder, as a process of its own."""
        given = [] if "--data-dir" in words else ["--data-dir", str(self.folder)]
        return subprocess.run(
            [sys.executable, "-m", "caiwutong.cli", *words, *given],
            env=self.environment(), capture_output=True, text=True, timeout=within_s,
            cwd=self.base, check=False,
        )  # fmt: skip

    def tell(self, *words: str, within_s: float = 120) -> Any:
        """What ``caiwutong <words> --json`` answers; a status other than 0 fails."""
        done = self.run(*words, "--json", within_s=within_s)
        assert done.returncode == 0, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    # -- its world

    @property
    def world(self) -> World:
        return load_world(self.folder / "sandbox" / "world.json")

    @property
    def sandbox(self) -> SandboxClient:
        return SandboxClient.at(self.folder / "sandbox")

    def clock(self) -> SharedClock:
        """The business clock hub and sandbox share."""
        return SharedClock(self.folder / "clock.json")

    def set_clock(self, *, at: datetime | None = None, scale: float | None = None) -> None:
        self.clock().set(at=at, scale=scale)

    def orders(self, count: int, seed: int) -> dict[str, dict[str, Any]]:
        """Orders to pay, each under a key of its own, from sponsored and direct accounts; those
        whose only way is a file in a person's hands would wait for one. Urgent ones: a test that
        runs on a Saturday must not wait for a netting round of BEPS."""
        draw = random.Random(seed)
        accounts = [
            a
            for a in self.caller().every("/v1/bank-accounts")
            if a["outward"] and a["access_modes"] != ["bank_file"]
        ]
        payees = [p for p in self.world.payees if p.condition == "ok"]
        return {
            f"{seed}-{number}": order(
                draw.choice(accounts)["bank_account_id"],
                draw.choice(payees),
                draw.randrange(1_00, 5_000_00),
                priority="urgent",
            )
            for number in range(count)
        }

    def month_file(self, rows: int, seed: int) -> Path:
        """A month of the group as finance staff write it, without days: all of it is due now; and
        out of accounts that need nobody to carry a file."""
        file = self.base / "month.csv"
        linked = tuple(a for a in self.world.accounts if a.access_modes != ("bank_file",))
        world = msgspec.structs.replace(self.world, accounts=linked)
        write_month(Month(world, self.clock().now().date(), rows, seed), file)
        lines = file.read_text("utf-8-sig").splitlines()
        file.write_text("\n".join(line.rpartition(",")[0] for line in lines), "utf-8-sig")
        return file

    # -- its judges

    def wait_until_ended(self, ids: Iterable[str], within_s: float) -> dict[str, str]:
        """Wait until each of these payments has ended; id → state."""
        caller, wanted = self.caller(), set(ids)
        states = dict.fromkeys(wanted, "not looked at yet")
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            with contextlib.suppress(*_TROUBLE, AssertionError):
                found = {p["id"]: p["state"] for p in caller.every("/v1/payments")}
                states = {each: found.get(each, "missing") for each in wanted}
                if set(states.values()) <= ENDED:
                    return states
            time.sleep(0.3)
        open_ones = {p: s for p, s in states.items() if s not in ENDED}
        raise AssertionError(f"not ended in {within_s} s: {open_ones}")

    def assert_it_holds(self, ids: Iterable[str] = ()) -> dict[str, Any]:
        """The five promises, asked from outside: the banks' books agree with every payment, none
        was paid twice, the ledger sums to zero, the log verifies. The books' verdict."""
        verdict = self.tell("sandbox", "reconcile")
        assert verdict["agreement"] == 1.0 and verdict["clean"], verdict
        assert verdict["double_paid"] == 0 and verdict["in_doubt"] == 0
        assert verdict["payments"] >= len(set(ids))
        for proof in self.tell("ledger"):
            assert proof["balances_fen"] == proof["entries_fen"] == proof["accounts_off"] == 0
        sums = self.sandbox.sums()
        assert not any(sums["banks"].values()), sums
        time.sleep(1.1)  # The sealer's promise: sealed within a second.
        audit = self.tell("audit", "verify")
        assert not audit["findings"], audit
        return verdict


def order(bank_account_id: str, payee: Any, amount_fen: int, **more: Any) -> dict[str, Any]:
    """A payment order as JSON."""
    return {
        "bank_account_id": bank_account_id,
        "amount_fen": amount_fen,
        "payee": {
            "name": payee.name,
            "account": payee.account,
            "bank_code": payee.bank_code,
            "bank_name": payee.bank_name,
        },
        "purpose": "货款",
        **more,
    }


def wait_until(what: str, holds: Any, within_s: float) -> float:
    """Seconds until ``holds()`` was true; fails after ``within_s``."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s, f"not in {within_s} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began
