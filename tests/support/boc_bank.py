"""A small token-session bank for the connector's tests: a real HTTP server whose script says what
becomes of each request. It keeps what it was sent, and knows which of its tokens still live.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

from aiohttp import web
from msgspec.structs import replace

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.signing import load_keys
from caiwutong.rails.bank_direct.styles.boc import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc.link import BocConnection
from caiwutong.rails.contract import AccountAtBank, Attempt
from caiwutong.sandbox.setup import free_port

HUB_KEY = Sm2PrivateKey.from_hex("11" * 32)
BANK_KEY = Sm2PrivateKey.from_hex("22" * 32)
STRANGER_KEY = Sm2PrivateKey.from_hex("33" * 32)
HUB = load_keys(HUB_KEY.to_hex(), BANK_KEY.public.to_hex())
BANK = load_keys(BANK_KEY.to_hex(), HUB_KEY.public.to_hex())
STRANGER = load_keys(STRANGER_KEY.to_hex(), HUB_KEY.public.to_hex())
NOON = datetime(2026, 11, 24, 4, 0, 0, tzinfo=UTC)
STAMP = "20261124120000"

PAYER = AccountAtBank("华东示例集团有限公司", "10390001200001", "103301091025", "国丰银行")
PAYEE = AccountAtBank("深圳示例贸易有限公司", "6222021001116245000", "102100099996", "国信银行")


def attempt(reference: str, amount_fen: int = 100_00, payee: AccountAtBank = PAYEE) -> Attempt:
    """A payment out of the group's account."""
    return Attempt(
        tenant="demo",
        payment_id=UUID(int=1),
        attempt_id=UUID(int=2),
        rail="bank_direct",
        reference=reference,
        payer=PAYER,
        payee=payee,
        amount_fen=amount_fen,
        created_at=NOON,
        valid_until=NOON,
        purpose="货款",
    )


def status_of(each: Attempt, code: str, bank_reference: str = "OB1") -> m.PaymentStatus:
    """How the bank says this payment stands."""
    return m.PaymentStatus(
        status=m.Status(code=code, words=""),
        reference=each.reference,
        bank_reference=bank_reference,
        amount=f"{each.amount_fen // 100}.{each.amount_fen % 100:02d}",
        payer_account=each.payer.account,
        payee_account=each.payee.account,
    )


class Cut(Exception):
    """The line breaks without an answer."""


class ScriptedBank:
    """Signs in whoever comes, then answers as ``script`` says."""

    def __init__(self) -> None:
        self.live: set[str] = set()
        self.sign_ins = 0
        self.orders: list[codec.Document] = []
        self.asked: list[codec.Document] = []
        self.sent: list[bytes] = []
        self.refuse_sign_in = False
        self.one_session = False
        """Whether only the newest token lives."""
        self.most_at_once = 0
        self.signer = BANK.signer
        self.answered_head: dict[str, str] = {}
        """Changes to the head of answers."""
        self.script: Callable[[codec.Document], Awaitable[Word]] = self.ordinary
        self._at_once = 0
        self._runner: web.AppRunner | None = None
        self.url = ""

    def connection(self, **changes: object) -> BocConnection:
        fields: dict[str, object] = {
            "name": "guofeng",
            "url": self.url,
            "bank_codes": ("103301091025",),
            "terminal_id": "E103000001",
            "customer_id": "80000001",
            "operator_id": "90000001",
            "password": "correct horse",
            "signing_key": HUB_KEY.to_hex(),
            "bank_key": BANK_KEY.public.to_hex(),
            "timeout_s": 0.5,
        }
        return BocConnection(**(fields | changes))  # type: ignore[arg-type]

    async def start(self) -> ScriptedBank:
        app = web.Application(client_max_size=8_000_000)
        app.router.add_post("/b2e", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}/b2e"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def ordered(self) -> list[str]:
        """The reference of the first payment in every order that came under a living token."""
        bodies = [each.body for each in self.orders]
        return [each.orders[0].reference for each in bodies if isinstance(each, m.PayRequest)]

    async def ordinary(self, document: codec.Document) -> Word:
        """Take every order, and say of every payment that it is paid."""
        ok = m.Status(code=profile.OK, words="ok")
        match document.body:
            case m.PayRequest(orders=orders):
                return m.PayAnswer(
                    status=ok,
                    orders=tuple(
                        m.OrderStatus(status=ok, reference=o.reference, bank_reference=f"OB{n}")
                        for n, o in enumerate(orders)
                    ),
                    at=STAMP,
                )
            case m.StatusRequest(queries=queries):
                return m.StatusAnswer(
                    status=ok,
                    payments=tuple(
                        m.PaymentStatus(status=ok, reference=q.reference) for q in queries
                    ),
                    at=STAMP,
                )
            case _:
                return error("B999", "不支持")

    async def _serve(self, http: web.Request) -> web.Response:
        self.sent.append(await http.read())
        raw = envelope.opened(self.sent[-1], BANK.verifier)
        document = codec.decode(raw, forgiving=False)
        token = document.head.token
        if isinstance(document.body, m.SignInRequest):
            body: Word = self._sign_in()
        elif token not in self.live:
            body = error(profile.SESSION_OVER, "会话已失效")
        else:
            kept = self.orders if isinstance(document.body, m.PayRequest) else self.asked
            kept.append(document)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                body = await self.script(document)
            except Cut:
                assert http.transport is not None
                http.transport.abort()
                return web.Response()
            finally:
                self._at_once -= 1
        head = replace(document.head, **self.answered_head)
        return web.Response(body=envelope.sealed(codec.encode(head, body), self.signer))

    def _sign_in(self) -> m.SignInAnswer:
        if self.refuse_sign_in:
            return m.SignInAnswer(status=m.Status(code="B903", words="密码错误"), at=STAMP)
        self.sign_ins += 1
        token = f"token{self.sign_ins}"
        if self.one_session:
            self.live.clear()
        self.live.add(token)
        return m.SignInAnswer(status=m.Status(code=profile.OK), at=STAMP, token=token)


def error(code: str, words: str = "") -> m.ErrorAnswer:
    """The answer to a request the bank did not look into."""
    return m.ErrorAnswer(status=m.Status(code=code, words=words), at=STAMP)
