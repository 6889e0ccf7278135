"""The IBPS rail over real sockets, against a small centre that can be told to misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from aiohttp import web

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Direction, Priority
from caiwutong.rails.cnaps.rail import one_line
from caiwutong.rails.cnaps.signing import PeerKey
from caiwutong.rails.contract import (
    NOT_FOUND,
    SILENCE,
    AccountAtBank,
    Attempt,
    BadMessage,
    Concerning,
    NotSent,
    Rail,
    ReportKind,
    SentInDoubt,
)
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps import profile
from caiwutong.rails.ibps.codec import decode_frames, encode, read_headers
from caiwutong.rails.ibps.connector import IbpsConnection, IbpsRail
from caiwutong.rails.ibps.reports import TRANSFER
from support.ibps_words import CENTRE, PAYEE, PAYER, SPONSOR

NOW = datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC)
OURS = Sm2PrivateKey.from_hex("11" * 32)
CENTRES = Sm2PrivateKey.from_hex("22" * 32)
STRANGERS = Sm2PrivateKey.from_hex("33" * 32)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def attempt(number: int = 1, **changes: object) -> Attempt:
    facts: dict[str, object] = {
        "tenant": "t1",
        "payment_id": UUID(int=number),
        "attempt_id": UUID(int=number),
        "rail": "ibps",
        "reference": f"20261123{number:012d}",
        "payer": PAYER,
        "payee": PAYEE,
        "amount_fen": 1234_56,
        "created_at": NOW - timedelta(minutes=1),
        "valid_until": NOW + timedelta(hours=14),
        "purpose": "货款",
        "remark": "合同 2026-001",
    }
    return Attempt(**(facts | changes))  # type: ignore[arg-type]


class Centre:
    """The other end: answers each frame by ``answer``, or behaves as ``handle`` says."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.key = CENTRES
        self.answer: Callable[[m.Frame], m.Message | None] = lambda frame: m.Acknowledgement(
            m.Original(frame.header.message_id, frame.header.sender, frame.header.kind)
        )
        self.handle: Handler = self.answer_all
        self.url = ""
        self._count = 0

    def write(self, message: m.Message, *, receiver: str = SPONSOR) -> bytes:
        self._count += 1
        return encode(
            message,
            sender=CENTRE,
            receiver=receiver,
            signer=self.key,
            at=NOW,
            message_id=f"C{self._count}",
            direction="D",
        )

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.received.append(await request.read())
        return await self.handle(request)

    async def answer_all(self, request: web.Request) -> web.Response:
        answers = [self.answer(frame) for frame in self.frames()]
        return web.Response(body=b"".join(self.write(one) for one in answers if one is not None))

    def frames(self) -> list[m.Frame]:
        return decode_frames(self.received[-1], PeerKey(OURS.public))


@pytest.fixture
async def centre() -> AsyncIterator[Centre]:
    the_centre = Centre()
    app = web.Application(client_max_size=2**25)
    app.router.add_post("/ibps", the_centre.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", free_port())
    await site.start()
    the_centre.url = site.name
    yield the_centre
    await runner.cleanup()


@pytest.fixture
async def rail(centre: Centre) -> AsyncIterator[IbpsRail]:
    the_rail = rail_to(centre.url)
    yield the_rail
    await the_rail.close()


def free_port() -> int:
    """A free port below the ephemeral range."""
    for port in range(21000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def connection_to(url: str, **changes: object) -> IbpsConnection:
    facts: dict[str, object] = {
        "url": url,
        "sponsor": SPONSOR,
        "centre": CENTRE,
        "bank_code": SPONSOR,
        "signing_key": OURS.to_hex(),
        "centre_key": CENTRES.public.to_hex(),
        "timeout_s": 5.0,
        "least_timeout_s": 0.2,
    }
    return IbpsConnection(**(facts | changes))  # type: ignore[arg-type]


def rail_to(url: str, **changes: object) -> IbpsRail:
    clock = ManualClock(NOW)
    return IbpsRail(connection_to(url, **changes), clock, Ids(clock, SystemRandomness()))


async def hang(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_inside(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "4000"})
    await response.prepare(request)
    await response.write(b"{H:01")
    return await cut(request)


# Paying.


async def test_an_attempt_travels_as_a_signed_101_under_its_own_reference(
    centre: Centre, rail: IbpsRail
) -> None:
    contract: Rail = rail
    (message,) = contract.encode_many([attempt(priority=Priority.URGENT)])
    reports = contract.decode(await contract.send(message))
    (frame,) = centre.frames()
    assert frame.header.message_id == message.message_id == "20261123000000000001"
    assert (frame.header.at, frame.header.priority) == (NOW - timedelta(minutes=1), 2)
    assert frame.message == m.CreditTransfer(
        1234_56, PAYER, PAYEE, purpose="货款", remark="合同 2026-001"
    )
    assert [(r.kind, r.reference) for r in reports] == [
        (ReportKind.ACCEPTED, "20261123000000000001")
    ]


def test_the_same_attempt_gives_the_same_message_but_for_its_signature() -> None:
    rail = rail_to("http://127.0.0.1:1")
    first, second = rail.encode_many([attempt()]) + rail.encode_many([attempt()])
    sign = first.body.index(b"<Sgntr>")
    assert first.body[:sign] == second.body[:sign]
    assert first.references == second.references == (attempt().reference,)


def test_many_attempts_are_encoded_in_order() -> None:
    rail = rail_to("http://127.0.0.1:1")
    messages = rail.encode_many([attempt(n) for n in range(20)])
    assert [one.message_id for one in messages] == [attempt(n).reference for n in range(20)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"direction": Direction.PULL}, "cnaps.push_only"),
        ({"payee": AccountAtBank("甲", "62")}, "cnaps.no_bank_code"),
        ({"payee": AccountAtBank("甲|乙", "62", SPONSOR)}, "cnaps.cannot_be_written"),
        ({"payee": AccountAtBank("甲", "6 2", SPONSOR)}, "cnaps.cannot_be_written"),
        ({"payee": AccountAtBank("", "62", SPONSOR)}, "cnaps.cannot_be_written"),
        ({"amount_fen": -1}, "cnaps.cannot_be_written"),
        ({"currency": "USD"}, "cnaps.cannot_be_written"),
        ({"reference": "TOO-LONG-OR-ODD-REFERENCE"}, "cnaps.header"),
    ],
)
def test_an_attempt_that_cannot_travel_is_refused_before_anything_is_sent(
    changes: dict[str, object], code: str
) -> None:
    with pytest.raises(Refused) as caught:
        rail_to("http://127.0.0.1:1").encode_many([attempt(**changes)])
    assert caught.value.code == code
    assert caught.value.cure


def test_free_words_are_made_fit_but_never_refused() -> None:
    assert one_line(" 货款\n第一|二批\t\x00 ", 140) == "货款 第一｜二批"
    assert one_line("长" * 300, 140) == "长" * 140
    messy = attempt(purpose="a\r\n|\x07" * 90, remark="\ud800")
    assert rail_to("http://127.0.0.1:1").encode_many([messy])


async def test_no_connection_means_not_sent() -> None:
    rail = rail_to(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NotSent):
        await rail.send(rail.encode_many([attempt()])[0])
    await rail.close()


@pytest.mark.parametrize("handler", [hang, cut, cut_inside])
async def test_silence_and_a_cut_line_after_sending_are_doubt(
    centre: Centre, handler: Handler
) -> None:
    centre.handle = handler
    rail = rail_to(centre.url, timeout_s=0.1, connect_timeout_s=0.1)
    with pytest.raises(SentInDoubt):
        await rail.send(rail.encode_many([attempt()])[0])
    assert len(centre.received) == 1
    await rail.close()


@pytest.mark.parametrize("status", [302, 307, 400, 404, 500, 503])
async def test_an_http_error_is_doubt_and_nothing_is_repeated(
    centre: Centre, rail: IbpsRail, status: int
) -> None:
    async def error(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/ibps"})

    centre.handle = error
    with pytest.raises(SentInDoubt):
        await rail.send(rail.encode_many([attempt()])[0])
    assert len(centre.received) == 1


async def test_a_connection_closed_while_idle_loses_nothing(centre: Centre, rail: IbpsRail) -> None:
    async def close_after(request: web.Request) -> web.StreamResponse:
        response = await centre.answer_all(request)
        response.force_close()
        return response

    centre.handle = close_after
    for number in range(3):
        assert rail.decode(await rail.send(rail.encode_many([attempt(number)])[0]))


async def test_time_out_is_counted_in_business_time(centre: Centre) -> None:
    class FastClock(ManualClock):
        def real_seconds(self, business_seconds: float) -> float:
            return business_seconds / 1000

    centre.handle = hang
    fast = FastClock(NOW)
    rail = IbpsRail(connection_to(centre.url, timeout_s=300.0), fast, Ids(fast, SystemRandomness()))
    begun = asyncio.get_running_loop().time()
    with pytest.raises(SentInDoubt):
        await rail.send(rail.encode_many([attempt()])[0])
    assert asyncio.get_running_loop().time() - begun < 3
    await rail.close()


async def test_no_more_requests_than_agreed_are_under_way(centre: Centre) -> None:
    at_once: list[int] = [0, 0]

    async def count(request: web.Request) -> web.StreamResponse:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(0.01)
        at_once[0] -= 1
        return await centre.answer_all(request)

    centre.handle = count
    rail = rail_to(centre.url, concurrency=3)
    await asyncio.gather(*[rail.send(one) for one in rail.encode_many([attempt()] * 12)])
    assert at_once[1] == 3
    await rail.close()


# Callbacks.


def test_what_the_network_posts_to_us_is_decoded_in_order(centre_key_writes: Centre) -> None:
    original = m.Original(attempt().reference, SPONSOR, TRANSFER)
    paid = (m.NettedPayment(attempt().reference, SPONSOR, -1234_56, TRANSFER),)
    raw = b"".join(
        centre_key_writes.write(message)
        for message in (
            m.CreditAnswer(original, "PR10", 1234_56),
            m.NettingNotice("R1", NOW, date(2026, 11, 23), -1234_56, paid),
            m.ClearingNotice("R1", NOW, date(2026, 11, 23), -1234_56, paid),
            m.CreditTransfer(1234_56, PAYEE, PAYER, type_code="A105", original=original),
        )
    )
    kinds = [report.kind for report in rail_to("http://127.0.0.1:1").decode(raw)]
    assert kinds == [
        ReportKind.ACCEPTED,
        ReportKind.NETTED,
        ReportKind.SETTLED,
        ReportKind.RETURNED,
    ]


@pytest.fixture
def centre_key_writes() -> Centre:
    return Centre()


def test_a_strangers_signature_is_refused(centre_key_writes: Centre) -> None:
    centre_key_writes.key = STRANGERS
    about = m.Original(attempt().reference, SPONSOR, TRANSFER)
    raw = centre_key_writes.write(m.CreditAnswer(about, "PR09", 1))
    with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
        rail_to("http://127.0.0.1:1").decode(raw)


def test_a_message_for_another_participant_is_refused(centre_key_writes: Centre) -> None:
    raw = centre_key_writes.write(
        m.CreditAnswer(m.Original(attempt().reference, SPONSOR, TRANSFER), "PR09", 1),
        receiver="102290012345",
    )
    with pytest.raises(BadMessage, match=r"cnaps\.not_for_us"):
        rail_to("http://127.0.0.1:1").decode(raw)


def test_a_callback_is_acknowledged_message_by_message(centre_key_writes: Centre) -> None:
    original = m.Original(attempt().reference, SPONSOR, TRANSFER)
    raw = centre_key_writes.write(m.CreditAnswer(original, "PR10", 1)) + centre_key_writes.write(
        m.Acknowledgement(original)
    )
    (acknowledged,) = read_headers(rail_to("http://127.0.0.1:1").acknowledge(raw))
    assert (acknowledged.kind, acknowledged.answers) == ("ccms.990.001.01", "C1")


# Asking.


def answer_enquiries(
    status: str, *, result: str = profile.DONE, reason: str = ""
) -> Callable[[m.Frame], m.Message | None]:
    def answer(frame: m.Frame) -> m.Message:
        assert isinstance(frame.message, m.Enquiry)
        return m.EnquiryAnswer(
            frame.header.message_id, frame.message.original, result, status, reason
        )

    return answer


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (answer_enquiries("PR10"), ReportKind.ACCEPTED, "PR10"),
        (answer_enquiries("PR03"), ReportKind.NETTED, "PR03"),
        (answer_enquiries("PR04"), ReportKind.SETTLED, "PR04"),
        (answer_enquiries("PR08"), ReportKind.REVOKED, "PR08"),
        (answer_enquiries("PR09", reason="RJ11"), ReportKind.REJECTED, "RJ11"),
        (answer_enquiries("", result=profile.UNKNOWN_ORIGINAL), ReportKind.IN_DOUBT, NOT_FOUND),
        (lambda frame: None, ReportKind.IN_DOUBT, SILENCE),
    ],
)
async def test_an_enquiry_says_what_became_of_the_payment(
    centre: Centre,
    rail: IbpsRail,
    answer: Callable[[m.Frame], m.Message | None],
    kind: ReportKind,
    code: str,
) -> None:
    centre.answer = answer
    (report,) = await rail.enquire([attempt()])
    assert (report.kind, report.code, report.reference) == (kind, code, attempt().reference)


async def test_many_enquiries_go_together_and_come_back_in_order(
    centre: Centre, rail: IbpsRail
) -> None:
    def answer(frame: m.Frame) -> m.Message | None:
        assert isinstance(frame.message, m.Enquiry)
        number = int(frame.message.original.message_id[8:])
        if number % 10 == 7:
            return None
        return answer_enquiries(f"PR0{number % 5}")(frame)

    centre.answer = answer
    reports = await rail.enquire([attempt(n) for n in range(120)])
    assert [report.reference for report in reports] == [attempt(n).reference for n in range(120)]
    assert [report.code for report in reports] == [
        SILENCE if n % 10 == 7 else f"PR0{n % 5}" for n in range(120)
    ]
    assert len(centre.received) == 3


async def test_an_answer_about_another_payment_is_not_taken(centre: Centre, rail: IbpsRail) -> None:
    other = m.Original("20261123OTHER", SPONSOR, TRANSFER)
    centre.answer = lambda frame: m.EnquiryAnswer(
        frame.header.message_id, other, profile.DONE, "PR09"
    )
    (report,) = await rail.enquire([attempt()])
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, SILENCE)


async def test_an_answer_to_another_question_is_not_taken(centre: Centre, rail: IbpsRail) -> None:
    about = m.Original(attempt().reference, SPONSOR, TRANSFER)
    centre.answer = lambda frame: m.EnquiryAnswer("OLDQUESTION", about, profile.DONE, "PR09")
    (report,) = await rail.enquire([attempt()])
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, SILENCE)


async def test_a_forged_answer_to_an_enquiry_leaves_doubt(centre: Centre, rail: IbpsRail) -> None:
    centre.key = STRANGERS
    centre.answer = answer_enquiries("PR09", reason="RJ01")
    (report,) = await rail.enquire([attempt()])
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, SILENCE)
    assert "signature" in report.words


@pytest.mark.parametrize("handler", [hang, cut, cut_inside])
async def test_an_enquiry_without_answer_is_in_doubt(centre: Centre, handler: Handler) -> None:
    centre.handle = handler
    rail = rail_to(centre.url, timeout_s=0.1, connect_timeout_s=0.1)
    reports = await rail.enquire([attempt(1), attempt(2)])
    assert [(r.kind, r.code) for r in reports] == [(ReportKind.IN_DOUBT, SILENCE)] * 2
    await rail.close()


async def test_an_enquiry_that_could_not_be_asked_is_in_doubt_too() -> None:
    rail = rail_to(f"http://127.0.0.1:{free_port()}")
    (report,) = await rail.enquire([attempt()])
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, SILENCE)
    assert await rail.enquire([]) == []
    await rail.close()


# Taking back.


@pytest.mark.parametrize(
    ("status", "reason", "kind", "code", "concerning"),
    [
        ("PR08", "", ReportKind.REVOKED, "PR08", Concerning.PAYMENT),
        ("PR09", "RJ90", ReportKind.REJECTED, "RJ90", Concerning.REVOCATION),
        ("PR06", "", ReportKind.IN_DOUBT, "PR06", Concerning.REVOCATION),
    ],
)
async def test_a_revocation_is_answered_at_once(
    centre: Centre,
    rail: IbpsRail,
    status: str,
    reason: str,
    kind: ReportKind,
    code: str,
    concerning: Concerning,
) -> None:
    def answer(frame: m.Frame) -> m.Message:
        assert isinstance(frame.message, m.Revocation)
        return m.RevocationAnswer(frame.header.message_id, frame.message.original, status, reason)

    centre.answer = answer
    (report,) = await rail.revoke(attempt())
    assert (report.kind, report.code, report.concerning) == (kind, code, concerning)


@pytest.mark.parametrize(
    ("result", "reason", "kind"),
    [
        (profile.TOO_LATE, "RJ90", ReportKind.REJECTED),
        (profile.TOO_LATE, "", ReportKind.IN_DOUBT),
        (profile.SYSTEM_ERROR, "RJ90", ReportKind.IN_DOUBT),
    ],
)
async def test_a_discarded_request_never_speaks_of_the_payment(
    centre: Centre, rail: IbpsRail, result: str, reason: str, kind: ReportKind
) -> None:
    centre.answer = lambda frame: m.Discard(
        m.Original(frame.header.message_id, SPONSOR, frame.header.kind), result, reason
    )
    for reports, concerning in (
        (await rail.revoke(attempt()), Concerning.REVOCATION),
        (await rail.request_return(attempt(), "重复"), Concerning.RETURN_REQUEST),
    ):
        (report,) = reports
        assert (report.kind, report.concerning) == (kind, concerning)


async def test_a_bare_acknowledgement_says_the_answer_comes_later(rail: IbpsRail) -> None:
    (report,) = await rail.revoke(attempt())
    assert (report.kind, report.concerning) == (ReportKind.ACCEPTED, Concerning.REVOCATION)


async def test_silence_about_a_revocation_is_doubt_about_the_revocation(centre: Centre) -> None:
    centre.handle = hang
    rail = rail_to(centre.url, timeout_s=0.1, connect_timeout_s=0.1)
    (report,) = await rail.revoke(attempt())
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, SILENCE)
    assert report.concerning is Concerning.REVOCATION
    await rail.close()


async def test_a_revocation_that_could_not_be_sent_is_told_so() -> None:
    rail = rail_to(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NotSent):
        await rail.revoke(attempt())
    await rail.close()


@pytest.mark.parametrize(
    ("status", "reason", "kind", "code"),
    [
        ("PR10", "", ReportKind.ACCEPTED, "PR10"),
        ("PR09", "RJ03", ReportKind.REJECTED, "RJ03"),
    ],
)
async def test_a_request_for_return_is_answered(
    centre: Centre, rail: IbpsRail, status: str, reason: str, kind: ReportKind, code: str
) -> None:
    def answer(frame: m.Frame) -> m.Message:
        assert isinstance(frame.message, m.ReturnRequest)
        assert (frame.message.amount_fen, frame.message.words) == (1234_56, "重复 付款")
        return m.ReturnAnswer(frame.header.message_id, frame.message.original, status, reason)

    centre.answer = answer
    (report,) = await rail.request_return(attempt(), "重复\n付款")
    assert (report.kind, report.code) == (kind, code)
    assert report.concerning is Concerning.RETURN_REQUEST


# Accounts.


async def test_balances_come_in_the_order_asked(centre: Centre, rail: IbpsRail) -> None:
    def answer(frame: m.Frame) -> m.Message:
        asked = frame.message
        assert isinstance(asked, m.BalanceEnquiry)
        fen = int(asked.account)
        return m.BalanceAnswer(
            frame.header.message_id, asked.account, asked.bank_code, profile.DONE, -fen, fen, NOW
        )

    centre.answer = answer
    found = await rail.balances([AccountAtBank("甲", str(n)) for n in range(1, 8)])
    assert [(one.account, one.balance_fen, one.available_fen) for one in found] == [
        (str(n), -n, n) for n in range(1, 8)
    ]
    assert all(one.at == NOW for one in found)


async def test_a_statement_is_read_page_by_page(centre: Centre, rail: IbpsRail) -> None:
    booked = [
        m.DetailLine(f"L{n}", NOW, date(2026, 11, 23), -n, 1000 - n, "payment", f"R{n}", "乙", "9")
        for n in range(5)
    ]

    def answer(frame: m.Frame) -> m.Message:
        asked = frame.message
        assert isinstance(asked, m.DetailEnquiry)
        start = int(asked.cursor or 0)
        page = tuple(booked[start : start + 2])
        end = start + len(page)
        return m.DetailAnswer(
            frame.header.message_id,
            asked.account,
            asked.bank_code,
            profile.DONE,
            str(end),
            end < len(booked),
            page,
        )

    centre.answer = answer
    cursor, seen = "", []
    for _ in range(4):
        page = await rail.statement(PAYER, cursor)
        seen += page.lines
        assert page.more == (len(seen) < 5)
        cursor = page.cursor
    assert [line.line_id for line in seen] == ["L0", "L1", "L2", "L3", "L4"]
    assert (seen[3].account, seen[3].amount_fen, seen[3].balance_after_fen) == (
        PAYER.account,
        -3,
        997,
    )
    assert (seen[3].kind, seen[3].reference, seen[3].counterparty_name) == ("payment", "R3", "乙")
    assert cursor == "5"


async def test_a_query_that_is_refused_or_unanswered_is_unavailable(
    centre: Centre, rail: IbpsRail
) -> None:
    def refuse(frame: m.Frame) -> m.Message:
        return m.BalanceAnswer(
            frame.header.message_id, PAYER.account, SPONSOR, profile.UNKNOWN_ACCOUNT
        )

    def other(frame: m.Frame) -> m.Message:
        return m.BalanceAnswer(frame.header.message_id, "99", SPONSOR, profile.DONE)

    for answer in (refuse, other, lambda frame: None):
        centre.answer = answer
        with pytest.raises(Unavailable) as caught:
            await rail.balances([PAYER])
        assert PAYER.account not in str(caught.value)
    centre.handle = cut
    with pytest.raises(Unavailable):
        await rail.statement(PAYER, "")


def test_the_connection_never_shows_its_key() -> None:
    assert OURS.to_hex() not in repr(connection_to("http://127.0.0.1:1"))
