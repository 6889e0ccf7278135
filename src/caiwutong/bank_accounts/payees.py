"""What the payee book does: keep counterparties, sealed and versioned. All calls run inside the
caller's transaction and never commit.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from caiwutong.audit.service import Audit
from caiwutong.bank_accounts import rules
from caiwutong.bank_accounts.model import NewPayee, Payee, PayeeChange, PayeeRow, PayeeState
from caiwutong.bank_accounts.service import Fields
from caiwutong.bank_accounts.store import BankAccountStore
from caiwutong.db.database import Tx
from caiwutong.identity.telling import SYSTEM, Teller
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Conflict, NotFound
from caiwutong.kernel.ids import Ids

_FIRST = UUID(int=0)
_RECORD_CLASS = "payee"


class Payees:
    """The payee book (收款人名册) over one store."""

    def __init__(
        self,
        store: BankAccountStore,
        *,
        vault: Fields,
        ids: Ids,
        clock: Clock,
        audit: Audit | None = None,
    ) -> None:
        self._store = store
        self._log = Teller(audit)
        self._vault = vault
        self._ids = ids
        self._clock = clock

    async def create(self, tx: Tx, tenant: str, new: NewPayee, *, actor: str = SYSTEM) -> Payee:
        """Keep a payee. Raises Refused for what is not well formed. Two payees may share an
        account: the bank checks the name, and one account may be known under two."""
        number = _checked(new.name, new.account, new.bank_code)
        now = self._clock.now()
        payee_id = self._ids.new()
        row = PayeeRow(
            payee_id,
            1,
            new.name,
            self._vault.seal(_RECORD_CLASS, number.encode(), _place(tenant, payee_id)),
            rules.account_index(self._vault, number),
            number[-4:],
            new.bank_code,
            new.bank_name,
            PayeeState.ACTIVE,
            now,
            now,
        )
        await self._store.insert_payee(tx, tenant, row)
        await self._log.tell(tx, tenant, "payee.created", payee_id, actor, _told(row))
        return self._open(tenant, row)

    async def update(
        self,
        tx: Tx,
        tenant: str,
        payee_id: UUID,
        version: int,
        change: PayeeChange,
        *,
        actor: str = SYSTEM,
    ) -> Payee:
        """The payee with these changes, one version on; older versions stay readable. Raises
        NotFound; Conflict when ``version`` is not the present one; Refused."""
        before = await self.get(tx, tenant, payee_id)
        if before.version != version:
            raise _changed(before, before.version)
        given = {
            name: value
            for name in change.__struct_fields__
            if (value := getattr(change, name)) is not None
        }
        after = msgspec.structs.replace(
            before, **given, version=version + 1, changed_at=self._clock.now()
        )
        number = _checked(after.name, after.account, after.bank_code)
        row = PayeeRow(
            payee_id,
            after.version,
            after.name,
            self._vault.seal(_RECORD_CLASS, number.encode(), _place(tenant, payee_id)),
            rules.account_index(self._vault, number),
            number[-4:],
            after.bank_code,
            after.bank_name,
            after.state,
            after.created_at,
            after.changed_at,
        )
        if not await self._store.insert_payee(tx, tenant, row):
            raise _changed(before, None)
        await self._log.tell(tx, tenant, "payee.changed", payee_id, actor, _told(row))
        return self._open(tenant, row)

    async def get(self, tx: Tx, tenant: str, payee_id: UUID) -> Payee:
        """The newest version of a payee. Raises NotFound."""
        rows = await self._store.payees(tx, tenant, [payee_id])
        if not rows:
            raise NotFound(
                "payees.not_found",
                f"There is no payee {payee_id}.",
                "List the payees and name one of them.",
            )
        return self._open(tenant, rows[0])

    async def by_account(self, tx: Tx, tenant: str, account: str) -> list[Payee]:
        """The payees whose newest version has this account number."""
        index = rules.account_index(self._vault, account)
        rows = await self._store.payees_by_index(tx, tenant, index)
        return [self._open(tenant, row) for row in rows]

    async def page(
        self, tx: Tx, tenant: str, after: UUID | None = None, limit: int = 100
    ) -> list[Payee]:
        """A page of newest versions in the order of creation, after an id."""
        rows = await self._store.payees_page(tx, tenant, after or _FIRST, limit)
        return [self._open(tenant, row) for row in rows]

    async def versions(self, tx: Tx, tenant: str, payee_id: UUID) -> list[Payee]:
        """Every version, oldest first; empty for an unknown payee."""
        rows = await self._store.payee_versions(tx, tenant, payee_id)
        return [self._open(tenant, row) for row in rows]

    def _open(self, tenant: str, row: PayeeRow) -> Payee:
        number = self._vault.open(_RECORD_CLASS, row.account_sealed, _place(tenant, row.payee_id))
        return Payee(
            payee_id=row.payee_id,
            name=row.name,
            account=number.decode(),
            bank_code=row.bank_code,
            bank_name=row.bank_name,
            state=PayeeState(row.state),
            index=row.account_index,
            version=row.version,
            created_at=row.created_at,
            changed_at=row.changed_at,
        )


def _checked(name: str, account: str, bank_code: str) -> str:
    """The normalised number of a well-formed payee. Raises Refused."""
    rules.check_name(name, "payee")
    if bank_code:
        rules.check_bank_code(bank_code)
    return rules.normalise_account(account)


def _told(row: PayeeRow) -> dict[str, object]:
    """What the log is told: all but the number, of which only the last four."""
    shown = ("version", "name", "last_four", "bank_code", "bank_name", "state")
    return {n: getattr(row, n) for n in shown}


def _place(tenant: str, payee_id: UUID) -> bytes:
    return f"{tenant}/{payee_id}/account".encode()


def _changed(payee: Payee, version: int | None) -> Conflict:
    now = f"; it is version {version} now" if version is not None else ""
    return Conflict(
        "payees.changed",
        f"The payee {payee.name} changed since it was read{now}.",
        "Read it again, look at what changed, and send the change with the new version.",
    )
