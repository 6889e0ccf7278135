"""The real services of the engine, composed over memory stores for one simulated process.

``Parts`` names the classes it is composed of; a mutant puts its own in place of one. Everything
else is the code that runs in production.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from caiwutong.approvals.model import Subject
from caiwutong.approvals.service import Approvals
from caiwutong.audit.seal import Sealer
from caiwutong.audit.service import Audit
from caiwutong.bank_accounts.service import BankAccounts
from caiwutong.db.database import Database, Tx
from caiwutong.identity.service import Identity
from caiwutong.kernel.clock import Clock, Randomness
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.service import Ledger
from caiwutong.payments.courier import Courier
from caiwutong.payments.dispatch import Dispatch
from caiwutong.payments.evidence import Evidence
from caiwutong.payments.intake import SUBJECT, Intake
from caiwutong.payments.model import SWITCH
from caiwutong.payments.recovery import Recovery
from caiwutong.payments.requests import Requests
from caiwutong.payments.routes import BestWay
from caiwutong.payments.settlement import Settlement
from caiwutong.payments.switching import Switching
from caiwutong.rails.contract import Rail
from caiwutong.simulation.stores import Stores
from caiwutong.statements.reader import Reader
from caiwutong.statements.service import Statements
from caiwutong.vault.service import Vault
from caiwutong.wiring import gathered

READ_EVERY = timedelta(minutes=30)
"""How often an account's statement is read; production reads every minute."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a house is made of."""

    intake: type[Intake] = Intake
    dispatch: type[Dispatch] = Dispatch
    courier: type[Courier] = Courier
    router: type[BestWay] = BestWay
    settlement: type[Settlement] = Settlement
    ledger: type[Ledger] = Ledger
    approvals: type[Approvals] = Approvals
    trusting: bool = False
    """Whether the stores leave their own guards out."""
    patches: tuple[tuple[Any, str, Any], ...] = ()
    """(module, name, value) put in place for the length of a run."""


async def inline(act: Callable[..., Any], *args: Any) -> Any:
    """Signing in the loop itself: there are no threads here."""
    return act(*args)


class House:
    """One process's services."""

    def __init__(
        self,
        parts: Parts,
        stores: Stores,
        database: Database,
        rails: Mapping[str, Rail],
        vault: Vault,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        ids = Ids(clock, randomness)
        self.database = database
        self.rails = rails
        self.audit = Audit(stores.audit, database, ids, clock)
        self.ledger = parts.ledger(stores.ledger)
        self.identity = Identity(
            stores.identity, vault=vault, ids=ids, clock=clock, randomness=randomness,
            audit=self.audit,
        )  # fmt: skip
        self.accounts = BankAccounts(
            stores.accounts, ledger=self.ledger, units=self.identity, vault=vault, ids=ids,
            clock=clock, audit=self.audit,
        )  # fmt: skip
        self.approvals = parts.approvals(stores.approvals, self.identity, self.audit)
        self.sealer = Sealer(database, stores.audit, vault, stores.heads, clock)
        self.settlement = parts.settlement(
            database=database, store=stores.payments, ledger=self.ledger, log=self.audit,
            clock=clock, ids=ids,
        )  # fmt: skip
        self.settle = gathered(self.settlement)
        courier = parts.courier(rails, self.settle, clock, offload=inline)
        self.intake = parts.intake(
            database=database, store=stores.payments, ledger=self.ledger, accounts=self.accounts,
            consent=self.approvals, log=self.audit, seal=vault, rails=tuple(rails), clock=clock,
            ids=ids,
        )  # fmt: skip
        router = parts.router(rails, vault)
        self.dispatch = parts.dispatch(
            database=database, store=stores.payments, ledger=self.ledger, accounts=self.accounts,
            log=self.audit, seal=vault, rails=rails, router=router, courier=courier,
            clock=clock, ids=ids,
        )  # fmt: skip
        self.recovery = Recovery(
            database=database, store=stores.payments, accounts=self.accounts, seal=vault,
            rails=rails, courier=courier, settle=self.settle, clock=clock,
        )  # fmt: skip
        self.requests = Requests(
            database=database, store=stores.payments, ledger=self.ledger, consent=self.approvals,
            log=self.audit, rails=rails, recovery=self.recovery, settle=self.settle, clock=clock,
            ids=ids,
        )  # fmt: skip
        statements = Statements(
            stores.statements, accounts=self.accounts, ledger=self.ledger, log=self.audit,
            seal=vault, clock=clock, ids=ids,
        )  # fmt: skip
        self.reader = Reader(
            database=database, store=stores.statements, statements=statements,
            accounts=self.accounts, rails=rails, clock=clock, every=READ_EVERY,
        )  # fmt: skip
        self.evidence = Evidence(
            database=database, store=stores.payments, statements=statements,
            settlement=self.settlement, accounts=self.accounts, seal=vault, rails=tuple(rails),
            clock=clock,
        )  # fmt: skip
        self.switching = Switching(
            database=database, store=stores.payments, accounts=self.accounts,
            consent=self.approvals, router=router, log=self.audit, clock=clock, ids=ids,
        )  # fmt: skip
        self.approvals.bind(SUBJECT, self._released)
        self.approvals.bind(SWITCH, self.switching.decided)

    async def _released(self, tx: Tx, tenant: str, subject: Subject) -> None:
        signing = await self.approvals.signing(tx, tenant, subject.kind, subject.id)
        needed = signing.needed if signing is not None else 0
        await self.requests.authorise(
            tx, tenant, subject.id, subject.digest, f"signatures:{needed}"
        )
