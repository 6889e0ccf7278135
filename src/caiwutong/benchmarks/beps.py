"""What a BEPS payment costs in the codec, signature and schema checks included: the part of the
batched channel that is ours alone.

``python -m caiwutong.benchmarks.beps`` prints microseconds of CPU for one payment, on one core, for
batches of several sizes: encoding a batch, reading the answer with an outcome for each, reading the
netting notice, and writing and reading the question about all of them. The keys are real, so the
share of the one signature shows where a batch is small.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.ids import Ids, reference
from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps.codec import CODEC
from caiwutong.rails.beps.connector import BepsConnection, BepsRail
from caiwutong.rails.beps.profile import valid_until
from caiwutong.rails.beps.reports import BATCH
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.contract import AccountAtBank, Attempt

AT = datetime(2026, 11, 23, 2, tzinfo=UTC)
SPONSOR, CENTRE = "907301090010", "000100000008"
SIZES = (1, 10, 100, 500)


class Row(msgspec.Struct, frozen=True):
    """Microseconds of CPU a payment, in batches of ``batch``."""

    batch: int
    body_bytes: int
    encode_us: float
    take_us: float
    """The other side reading the batch: for the sandbox's share of a benchmark."""
    outcomes_us: float
    netting_us: float
    ask_us: float

    @property
    def hub_us(self) -> float:
        """What the hub spends on one payment from batch to netted, when nothing is lost."""
        return self.encode_us + self.outcomes_us + self.netting_us


def measure(batch: int, seconds: float = 1.0) -> Row:
    """One row, each part measured for so many seconds of CPU."""
    hub, centre = Sm2PrivateKey.from_hex("11" * 32), Sm2PrivateKey.from_hex("22" * 32)
    connection = BepsConnection(
        "http://127.0.0.1:1", SPONSOR, CENTRE, SPONSOR, hub.to_hex(), centre.public.to_hex()
    )
    clock = ManualClock(AT)
    rail = BepsRail(connection, clock, Ids(clock, SystemRandomness()))
    attempts = [attempt(number) for number in range(batch)]
    (message,) = rail.encode_many(attempts)

    def said(word: object) -> bytes:
        return CODEC.encode(
            word, sender=CENTRE, receiver=SPONSOR, signer=centre, at=AT, message_id="20261123D1",
            direction="D",
        )  # fmt: skip

    original = m.Original(message.message_id, SPONSOR, BATCH)
    outcomes = said(
        b.BatchConfirm(
            original,
            codes.DONE,
            "PR10",
            outcomes=tuple(b.Outcome(each.reference, "PR10") for each in attempts),
        )
    )
    netted = tuple(
        m.NettedPayment(message.message_id, SPONSOR, -each.amount_fen, BATCH, each.reference)
        for each in attempts
    )
    notice = said(m.NettingNotice("202611231030", AT, AT.date(), 0, netted))
    question = b.StatusPull(tuple(b.Asked(each.reference) for each in attempts))

    class Hub:
        def verify(self, sender: str, data: bytes, signature: bytes, /) -> bool:
            return hub.public.verify(data, signature)

    def read(raw: bytes) -> Callable[[], object]:
        # Another object each time: the rail keeps what it read last.
        return lambda: rail.decode(bytes(bytearray(raw)))

    def each_us(work: Callable[[], object]) -> float:
        return _cpu_us(work, seconds) / batch

    return Row(
        batch=batch,
        body_bytes=len(message.body),
        encode_us=each_us(lambda: rail.encode_many(attempts)),
        take_us=each_us(lambda: CODEC.decode_frames(message.body, Hub())),
        outcomes_us=each_us(read(outcomes)),
        netting_us=each_us(read(notice)),
        ask_us=each_us(lambda: said(question)),
    )


def attempt(number: int) -> Attempt:
    """A payment as a group makes it: names and words of common length."""
    key = UUID(int=number)
    return Attempt(
        tenant="demo",
        payment_id=key,
        attempt_id=key,
        rail="beps",
        reference=reference(AT, key),
        payer=AccountAtBank(
            "华东示例物流有限公司南京分公司",
            "9073000112345678",
            SPONSOR,
            "华东示例集团财务有限公司",
        ),
        payee=AccountAtBank("苏州恒瑞机电有限公司", "6022000112345678", "102290091014", "国信银行"),
        amount_fen=8_000_00 + number,
        created_at=AT,
        valid_until=valid_until(AT),
        purpose="货款",
        remark="合同 HD-2026-0417",
    )


def _cpu_us(work: Callable[[], object], seconds: float) -> float:
    """Microseconds of CPU of one call: the least mean of five parts, so that what else the machine
    does counts as little as it can."""
    work()
    best = float("inf")
    for _ in range(5):
        done, begun, end = 0, time.process_time(), time.process_time() + seconds / 5
        while time.process_time() < end or not done:
            work()
            done += 1
        best = min(best, (time.process_time() - begun) / done)
    return best * 1e6


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m caiwutong.benchmarks.beps")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each number")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    arguments = parser.parse_args()
    rows = [measure(size, arguments.seconds) for size in SIZES]
    if arguments.json:
        found = [msgspec.to_builtins(row) | {"hub_us": row.hub_us} for row in rows]
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    print("batch     bytes   encode  outcomes  netting  = hub   (take)  (ask)   µs a payment")
    for row in rows:
        print(
            f"{row.batch:>5} {row.body_bytes:>9,} {row.encode_us:>8.1f} {row.outcomes_us:>9.1f}"
            f" {row.netting_us:>8.1f} {row.hub_us:>7.1f} {row.take_us:>8.1f} {row.ask_us:>6.1f}"
        )


if __name__ == "__main__":
    main()
