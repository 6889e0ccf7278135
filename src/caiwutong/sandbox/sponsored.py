"""What the sponsor answers about the accounts and payments of the firms it sponsors, whichever
channel the question comes over: balance (309), detail (311), request for return (318).

Everything but the request for return is read from the books; asking changes nothing. The words are
those all CNAPS2 channels share.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.sandbox.codes import OTHER
from caiwutong.sandbox.entries import Line
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.wire import clean

_PAGE = 200
_NOT_YOURS = "账户不存在或无权查询"


class Sponsored:
    """The sponsor's counter for questions."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.code = network.world.sponsor
        self.returns = "agree"
        """What payee banks say to a request for return (申请退回): ``agree`` or ``refuse``."""
        self._book = network.books[self.code]

    def balance(self, header: m.Header, question: m.BalanceEnquiry) -> m.BalanceAnswer:
        """The 310 to a 309."""
        number, bank = question.account, question.bank_code
        found = self._book.account(number)
        if found is None or found.owner != "group" or bank != self.code:
            return m.BalanceAnswer(
                header.message_id, number, bank, codes.UNKNOWN_ACCOUNT, words=_NOT_YOURS
            )
        return m.BalanceAnswer(
            header.message_id,
            found.account,
            self.code,
            codes.DONE,
            found.balance_fen,
            found.available_fen,
            self.network.clock.now().replace(microsecond=0),
        )

    def detail(self, header: m.Header, question: m.DetailEnquiry) -> m.DetailAnswer:
        """The 312 to a 311: a page of lines after the cursor."""
        number, bank = question.account, question.bank_code
        found = self._book.account(number)
        cursor = question.cursor or "0"
        known = found is not None and found.owner == "group" and bank == self.code
        if not known or not cursor.isdigit():
            return m.DetailAnswer(
                header.message_id, number, bank, codes.UNKNOWN_ACCOUNT, words=_NOT_YOURS
            )
        limit = max(1, min(question.limit, _PAGE))
        lines = self._book.lines(number, int(cursor), limit + 1)
        page = lines[:limit]
        return m.DetailAnswer(
            header.message_id,
            number,
            self.code,
            codes.DONE,
            str(page[-1].line_no) if page else cursor,
            len(lines) > limit,
            tuple(_detail_line(line) for line in page),
        )

    def return_request(self, header: m.Header, request: m.ReturnRequest) -> m.ReturnAnswer:
        """The 319 to a 318. A yes has sent the money on its way back (A105)."""
        original = request.original
        reference = original.transaction_id or original.message_id
        transfer = self.network.centre.transfer(original.sender, reference)
        if transfer is None or transfer.amount_fen != request.amount_fen:
            why = "无此业务" if transfer is None else "金额与原业务不符"
        elif self.returns != "agree":
            why = "收款人不同意退回"
        else:
            why = self.network.send_back(transfer, "应付款行申请退回")
        status, code = ("PR09", OTHER) if why else ("PR10", "")
        return m.ReturnAnswer(header.message_id, original, status, code, why)


def _detail_line(line: Line) -> m.DetailLine:
    return m.DetailLine(
        line_id=f"{line.account}-{line.line_no}",
        booked_at=datetime.fromtimestamp(int(line.booked_at), UTC),
        value_date=date.fromisoformat(line.day),
        amount_fen=line.amount_fen,
        balance_after_fen=line.balance_after_fen,
        kind=line.kind,
        reference=line.reference,
        counterparty_name=clean(line.counter_name, 140),
        counterparty_account=line.counter_account,
        words=clean(line.words, 140),
    )
