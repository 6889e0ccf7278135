"""An electronic receipt (电子回单) as a small PDF, written by hand.

One page, one CID font that every reader knows by name (STSong-Light), so nothing is embedded.
The same line always gives the same bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.money import yuan
from caiwutong.sandbox.entries import (
    Account,
    Line,
)

_OBJECTS = (
    b"<</Type/Catalog/Pages 2 0 R>>",
    b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 300]/Contents 7 0 R"
    b"/Resources<</Font<</F1 4 0 R>>>>>>",
    b"<</Type/Font/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UCS2-H"
    b"/DescendantFonts[5 0 R]>>",
    b"<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light"
    b"/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 2>>/FontDescriptor 6 0 R>>",
    b"<</Type/FontDescriptor/FontName/STSong-Light/Flags 6/FontBBox[-25 -254 1000 880]"
    b"/ItalicAngle 0/Ascent 880/Descent -120/CapHeight 880/StemV 93>>",
)


def receipt_pdf(bank_name: str, account: Account, line: Line, check_code: str) -> bytes:
    """The PDF for one statement line, stamped as made in a sandbox."""
    at = datetime.fromtimestamp(line.booked_at, UTC).astimezone(CHINA)
    out = line.amount_fen < 0
    ours, theirs = (account.name, account.account), (line.counter_name, line.counter_account)
    payer, payee = (ours, theirs) if out else (theirs, ours)
    return _pdf(
        (
            f"{bank_name} 电子回单（沙箱，无效力）",
            f"记账时间 {at:%Y-%m-%d %H:%M:%S}    流水号 {line.account}-{line.line_no}",
            f"付款人 {payer[0]}    账号 {payer[1]}",
            f"收款人 {payee[0]}    账号 {payee[1]}",
            f"金额 CNY {yuan(abs(line.amount_fen))}    {'借' if out else '贷'}",
            f"摘要 {line.words}    业务参考号 {line.reference}",
            f"验证码 {check_code}",
        )
    )


def _pdf(rows: tuple[str, ...]) -> bytes:
    text = [b"BT /F1 12 Tf 18 TL 40 260 Td"]
    for row in rows:
        text.append(b"<" + row.encode("utf-16-be").hex().encode() + b"> Tj T*")
    stream = b"\n".join([*text, b"ET"])
    content = b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream)
    out = bytearray(b"%PDF-1.4\n")
    places: list[int] = []
    for number, body in enumerate((*_OBJECTS, content), 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, start)
    return bytes(out)
