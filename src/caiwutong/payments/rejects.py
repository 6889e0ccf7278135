"""Whose fault a definite no is: the payment's own, which every channel would refuse again, or the
channel's, which another one may cure.

Owns the table. Promises: a code that stands here as the payment's ends it; any other definite no
may be tried over another channel, because a definite no cannot pay twice, and the number of
attempts is bounded. Pure. Read next: ``failover``, which decides what follows.

Codes RJ01–RJ99 are those of the CNAPS2 and IBPS message standards; FIN/F, R, D, C are rtnFlg of a
bank's direct interface (see ``rails/ibps/profile.py`` and ``rails/bank_direct``).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Whose(StrEnum):
    """Who must change something before a payment like this can pass."""

    PAYMENT = "payment"
    CHANNEL = "channel"


class Reject(msgspec.Struct, frozen=True):
    """A reject code, whose fault it is, and what helps."""

    code: str
    whose: Whose
    words: str
    cure: str


_P, _C = Whose.PAYMENT, Whose.CHANNEL

REJECTS: dict[str, Reject] = {
    row.code: row
    for row in (
        Reject("RJ01", _P, "no such payee account", "Correct the payee's account."),
        Reject("RJ02", _P, "the payee's name and account do not fit", "Correct name or account."),
        Reject("RJ03", _P, "not enough money at the bank", "Bring money to the account."),
        Reject("RJ08", _P, "this type of account may not take it", "Ask the payee for another."),
        Reject("RJ11", _P, "an account is closed or stopped", "Ask the account's owner."),
        Reject("RJ20", _P, "taken back already", "Order it anew if it shall be paid."),
        Reject("FIN/R", _P, "an approver at the bank refused it", "Ask the approver."),
        Reject("FIN/D", _P, "nobody approved it at the bank in time", "Order it anew."),
        Reject("FIN/C", _P, "cancelled on the bank's page", "Order it anew if it shall be paid."),
        Reject("RJ04", _C, "above the channel's limit", "Another channel has another limit."),
        Reject("RJ35", _C, "the signature does not fit", "Check this channel's keys."),
        Reject("RJ90", _C, "another reason", "Ask the sponsor."),
        Reject("RJ91", _C, "the centre's checks refused it", "Look at the message in the log."),
        Reject("RJ92", _C, "the payer's bank refused it on this channel", "Ask the bank."),
        Reject("RJ94", _C, "the netting quota is used up", "Wait, or take another channel."),
        Reject("RJ95", _C, "the payee's bank refused it on this channel", "Ask the payee's bank."),
        Reject("RJ99", _C, "the day ended before it was its turn", "It goes the next day."),
        Reject("FIN/F", _C, "failed at the bank", "Read the bank's words."),
        Reject("never_received", _C, "the network never received it", "Check the connection."),
    )
}
"""Known codes. What is not here is the channel's until it is shown to be the payment's."""

THE_PAYMENTS_WORDS = (
    "户名不符",
    "账号户名不符",
    "账号、户名不符",
    "账号不存在",
    "账户不存在",
    "无此账户",
    "账户状态",
    "已销户",
    "余额不足",
)
"""Banks that answer every failure with one code tell the reason in words; these words are final.
Our own reading of the reasons public interface documents print; an unknown wording is tried over
another channel, which then answers for the same fault with its own code."""

_WORDS_TELL = frozenset({"FIN/F", "RJ90", "RJ92", "RJ95", "page_no"})


def whose(code: str, words: str = "") -> Whose:
    """Whose fault this definite no is."""
    if code in _WORDS_TELL and any(each in words for each in THE_PAYMENTS_WORDS):
        return Whose.PAYMENT
    known = REJECTS.get(code)
    return Whose.CHANNEL if known is None else known.whose
