"""After a stop: what a killed process left half-way is found in the books and finished.

Commits come in an order (see ``commits`` and ``network``), so few half-way states can exist: a
debit the centre has not heard of, a decision of the centre the payer's bank has not booked, a
netting round or a settlement the banks have not booked, a transfer nobody answered. Each is
finished as if nothing had happened; booking again changes nothing, and a notice may come twice.
"""

from __future__ import annotations

import logging
from itertools import groupby

from caiwutong.sandbox.books import Book
from caiwutong.sandbox.centre import FORWARDED, IBPS, REFUSED, Transfer
from caiwutong.sandbox.centre import REVOKED as TAKEN_BACK
from caiwutong.sandbox.codes import OTHER
from caiwutong.sandbox.entries import REJECTED, REVOKED, Execution
from caiwutong.sandbox.network import OWN_RETURN, Network

_log = logging.getLogger("caiwutong.sandbox")


def recover(network: Network) -> dict[str, int]:
    """Finish what was left half-way. Gives what was found, by kind."""
    found = {"undecided": 0, "unbooked": 0, "unanswered": 0}
    found["unbooked"] += sum([gross.recover() for gross in network.gross.values()])
    for code, book in network.books.items():
        for execution in book.pending():
            found["undecided"] += _take_up(network, code, book, execution)
    at = network.clock.now()
    for _, group in groupby(network.centre.unbooked(), key=lambda each: each.round):
        transfers = list(group)
        for transfer in transfers:
            network.book_transfer(transfer, at)
        network.close_round(transfers)
        found["unbooked"] += len(transfers)
    network.settle_legs()
    for transfer in network.centre.unanswered():
        found["unanswered"] += 1
        _forward_again(network, transfer)
    network.commits.flush()
    if any(found.values()):
        _log.info("recovered after a stop: %s", found)
    return found


def _take_up(network: Network, code: str, book: Book, execution: Execution) -> int:
    """A debit that waits for the centre: send it on where the centre has not heard of it, give the
    money back where the centre has refused or revoked it. Gives 1 when something was done."""
    at = network.clock.now()
    order = execution.instruction
    transfer = network.centre.transfer(order.originator, order.reference)
    if transfer is None:
        if order.reference.startswith(OWN_RETURN):
            # The bank's own idea: nobody else has heard of it.
            book.undo(order.originator, order.reference, REJECTED, OTHER, "系统中断", at)
        else:
            network.centre.submit(
                order,
                code,
                at,
                message_id=execution.message_id or order.reference,
                system=execution.system or IBPS,
            )
        return 1
    if transfer.status in (REFUSED, TAKEN_BACK):
        status = REVOKED if transfer.status == TAKEN_BACK else REJECTED
        book.undo(order.originator, order.reference, status, transfer.code, transfer.words, at)
        return 1
    return 0


def _forward_again(network: Network, transfer: Transfer) -> None:
    answered = network.forward(transfer, "")
    if answered.status != FORWARDED:
        network.tell_answered(answered)
