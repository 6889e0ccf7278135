"""A small bank for the connector's tests: a real HTTP server with its own list of payments, which
can be told to be slow, to cut the line, to forget, or to sign with a stranger's key.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.rails.bank_direct.styles.cmb import account_messages as accounts
from caiwutong.rails.bank_direct.styles.cmb import codec, messages, profile
from caiwutong.rails.bank_direct.styles.cmb.envelope import Keys
from caiwutong.rails.bank_direct.styles.cmb.keys import load_keys
from caiwutong.rails.bank_direct.styles.cmb.link import CmbConnection

HUB_KEY = Sm2PrivateKey.from_hex("11" * 32)
BANK_KEY = Sm2PrivateKey.from_hex("22" * 32)
STRANGER_KEY = Sm2PrivateKey.from_hex("33" * 32)
SHARED = "0123456789abcdeffedcba9876543210"
HUB = load_keys(HUB_KEY.to_hex(), BANK_KEY.public.to_hex(), SHARED)
BANK = load_keys(BANK_KEY.to_hex(), HUB_KEY.public.to_hex(), SHARED)
STRANGER = load_keys(STRANGER_KEY.to_hex(), HUB_KEY.public.to_hex(), SHARED)
NOON = datetime(2026, 11, 24, 4, 0, 0, tzinfo=UTC)


class HashSigner:
    """A stand-in for a key where only the form is tested: a hash, so tampering still shows."""

    def sign(self, data: bytes, identity: bytes) -> bytes:
        return hashlib.sha512(identity + data).digest()

    def verify(self, data: bytes, signature: bytes, identity: bytes) -> bool:
        return signature == self.sign(data, identity)


class NoCipher:
    """A stand-in for a cipher: the text as it is."""

    def encrypt(self, plaintext: bytes, iv: bytes) -> bytes:
        return plaintext

    def decrypt(self, ciphertext: bytes, iv: bytes) -> bytes:
        return ciphertext


PLAIN = Keys(HashSigner(), HashSigner(), NoCipher())


class LocalBank:
    """Answers like a bank; ``fault`` names what it does wrong (see ``_serve`` and ``_pay``)."""

    def __init__(self, user_id: str, *codes: str) -> None:
        self.user_id = user_id
        self.codes = codes
        self.now: Callable[[], datetime] = lambda: NOON
        self.fault = ""
        self.payments: dict[str, messages.PaymentRecord] = {}
        self.batches: dict[str, list[messages.BatchLine]] = {}
        """A batch's payments are found in it only, not by BB1PAYQR."""
        self.seen: list[str] = []
        self.most_at_once = 0
        self.entries: list[accounts.StatementEntry] = []
        self._at_once = 0
        self._runner: web.AppRunner | None = None
        self.url = ""

    def connection(self, **changes: object) -> CmbConnection:
        fields: dict[str, object] = {
            "name": self.user_id,
            "url": self.url,
            "bank_codes": self.codes,
            "user_id": self.user_id,
            "signing_key": HUB_KEY.to_hex(),
            "bank_key": BANK_KEY.public.to_hex(),
            "sm4_key": SHARED,
            "timeout_s": 0.3,
        }
        return CmbConnection(**(fields | changes))  # type: ignore[arg-type]

    async def start(self) -> LocalBank:
        app = web.Application(client_max_size=8_000_000)
        app.router.add_post("/api/v2", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/api/v2"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def settle(self, reference: str, state: str, flag: str = "") -> None:
        old = self.payments[reference]
        self.payments[reference] = messages.msgspec.structs.replace(old, state=state, flag=flag)

    async def _serve(self, http: web.Request) -> web.Response:
        request = codec.decode_request(await http.read(), {self.user_id: BANK}.get, now=self.now())
        self.seen.append(request.function)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.fault == "busy":
                await asyncio.sleep(0.02)
            body, code = self._answer(request)
            if self.fault == "slow":
                await asyncio.sleep(0.8)
            if self.fault == "cut":
                assert http.transport is not None
                http.transport.abort()
            if self.fault == "refuse":
                return web.Response(status=502, text="Bad Gateway")
            if self.fault == "garbage":
                return web.Response(text="CDCServer:系统繁忙")
            raw = codec.encode_answer(
                body if code == "SUC0000" else None,
                request=request,
                response_id=f"rsp-{len(self.seen)}",
                at=self.now(),
                keys=STRANGER if self.fault == "stranger" else BANK,
                result_code=code,
                result_message="" if code == "SUC0000" else "请求失败",
            )
            return web.Response(body=raw)
        finally:
            self._at_once -= 1

    def _answer(self, request: codec.Request) -> tuple[messages.Wire, str]:
        if self.fault == "error":
            return messages.PayAnswer(), "CDC0099"
        match request.body:
            case messages.PayRequest(payments=(detail,)):
                return self._pay(detail)
            case messages.BatchPayRequest(modes=(mode,), payments=details):
                return self._pay_batch(mode, details), "SUC0000"
            case messages.BatchListRequest():
                return self._list_batches(), "CDC0098" if self.fault == "no lists" else "SUC0000"
            case messages.BatchDetailRequest(queries=(query,)):
                return self._batch(query), "SUC0000"
            case messages.ReturnsByDayRequest():
                back = [each for each in self.payments.values() if each.flag == "B"]
                found = tuple(
                    messages.ReturnedPayment(reference=each.reference, amount=each.amount)
                    for each in back
                )
                return messages.ReturnsByDayAnswer(payments=found), "SUC0000"
            case messages.PayQueryRequest(queries=(query,)):
                found = self.payments.get(query.reference)
                return messages.PayQueryAnswer(records=(found,) if found else ()), "SUC0000"
            case accounts.BalancesRequest(queries=queries):
                return self._balances([each.account for each in queries]), "SUC0000"
            case accounts.StatementRequest():
                return self._statement(request.body), "SUC0000"
            case messages.ReturnsRequest(queries=(query,)):
                return self._returns(query), "SUC0000"
            case accounts.PastBalancesRequest(queries=(query,)):
                day = accounts.PastBalance(
                    account=query.account, day=query.from_day, balance="7.00"
                )
                return accounts.PastBalancesAnswer(balances=(day,)), "SUC0000"
            case accounts.ReceiptRequest():
                return accounts.ReceiptAnswer(document="JVBERi0=", check_code="AB12"), "SUC0000"
            case _:
                return messages.PayAnswer(), "CDC0001"

    def _pay(self, detail: messages.PayDetail) -> tuple[messages.Wire, str]:
        if detail.reference in self.payments:
            return messages.PayAnswer(), "CDC0013"
        if self.fault != "deaf":
            self.payments[detail.reference] = messages.PaymentRecord(
                bank_reference=f"{1_000_000_000 + len(self.payments)}",
                reference=detail.reference,
                state="BNK",
                amount=detail.amount,
                payer_account=detail.payer_account,
            )
        return messages.PayAnswer(outcomes=(messages.PayOutcome(state="NTE"),)), "SUC0000"

    def _pay_batch(
        self, mode: messages.BatchMode, details: tuple[messages.PayDetail, ...]
    ) -> messages.BatchPayAnswer:
        if self.fault == "refuse batch":
            outcome = messages.BatchOutcome(batch=mode.batch, state="FIN", flag="F")
            return messages.BatchPayAnswer(outcomes=(outcome,))
        assert mode.count == str(len(details))
        self.batches[mode.batch] = [
            messages.BatchLine(
                batch=mode.batch,
                reference=detail.reference,
                state="BNK",
                amount=detail.amount,
                payer_account=detail.payer_account,
            )
            for detail in details
        ]
        outcome = messages.BatchOutcome(batch=mode.batch, state="OPR", error_code="SUC0000")
        return messages.BatchPayAnswer(outcomes=(outcome,))

    def _list_batches(self) -> messages.BatchListAnswer:
        return messages.BatchListAnswer(
            batches=tuple(
                messages.BatchSummary(batch=number, state="BNK", count=str(len(lines)))
                for number, lines in self.batches.items()
            )
        )

    def _batch(self, query: messages.BatchDetailQuery) -> messages.BatchDetailAnswer:
        """One line a page."""
        lines, at = self.batches[query.batch], int(query.continuation or "0")
        follow = messages.msgspec.structs.replace(query, continuation=str(at + 1))
        return messages.BatchDetailAnswer(
            lines=tuple(lines[at : at + 1]),
            next_queries=(follow,) if at + 1 < len(lines) else (),
        )

    def _balances(self, numbers: list[str]) -> accounts.BalancesAnswer:
        assert len(numbers) <= profile.CMB_CLOUD.balance_accounts
        return accounts.BalancesAnswer(
            balances=tuple(
                accounts.Balance(account=n, online="100.50", available="-0.50")
                if not n.endswith("9")
                else accounts.Balance(account=n, error_code="NCB0001", error_text="无权限")
                for n in numbers
            )
        )

    def _statement(self, request: accounts.StatementRequest) -> accounts.StatementAnswer:
        points = request.break_points
        start = int(points[0].next_sequence) - 1 if points else 0
        page = self.entries[start : start + 200]
        follow = start + len(page)
        more = follow < len(self.entries)
        account = request.queries[0].account
        return accounts.StatementAnswer(
            break_points=(
                accounts.BreakPoint(account=account, day="20261124", next_sequence=f"{follow + 1}"),
            ),
            control=(
                accounts.StatementControl(
                    more="Y" if more else "N", continue_account=account if more else ""
                ),
            ),
            entries=tuple(page),
        )

    def _returns(self, query: messages.ReturnsQuery) -> messages.ReturnsAnswer:
        back = [
            messages.ReturnedPayment(reference=r.reference, amount=r.amount, reason="账号户名不符")
            for r in self.payments.values()
            if r.flag == "B" and r.payer_account == query.account
        ]
        at = int(query.continuation or "0")
        follow = (
            (messages.msgspec.structs.replace(query, continuation=str(at + 1)),)
            if at + 1 < len(back)
            else ()
        )
        return messages.ReturnsAnswer(payments=tuple(back[at : at + 1]), next_queries=follow)
