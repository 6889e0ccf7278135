"""What the banks took for payments, held against their tariffs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from caiwutong.api.http import PROBLEMS, Who, reply
from caiwutong.api.paging import Limit, Paging, instant
from caiwutong.api.services import Services
from caiwutong.fees.model import FeeReport, PaymentFees

_From = Annotated[
    datetime | None,
    QueryParameter(
        name="from", required=False, description="Booked from then on; default: 31 days ago."
    ),
]
_Until = Annotated[
    datetime | None,
    QueryParameter(name="until", required=False, description="Booked before; default: now."),
]
_MONTH = timedelta(days=31)


def fee_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers of the fee audit."""

    @get("/v1/fees/audit", opt={PROBLEMS: (422,)})
    async def audit_fees(
        caller: Who, start: _From = None, until: _Until = None, limit: Limit = 100
    ) -> Response[FeeReport]:
        """The fees of a stretch of time, each held against the tariff in force: how many agree,
        what differs and why (charged twice, wrong band, discount not applied), and how much can be
        asked back. The dearest differences are listed, at most ``limit``."""
        end = instant(until, "until") or house.clock.now()
        begin = instant(start, "from") or end - _MONTH
        return reply(await house.fees.audit(caller.tenant, begin, end, most=limit))

    @get("/v1/payments/{payment_id:uuid}/fees")
    async def read_payment_fees(payment_id: FromPath[UUID], caller: Who) -> Response[PaymentFees]:
        """What a payment should cost over its channel, and what its bank took for it."""
        await house.payments.views.get(caller.tenant, payment_id)
        return reply(await house.fees.of_payment(caller.tenant, payment_id))

    return [audit_fees, read_payment_fees]
