"""The settlement accounts (清算账户) of the banks at the central bank, in the centre's own records.

Gross payments move them one by one, the net of IBPS and BEPS moves them at each clearing point.
They promise that no gross payment takes an account below what its bank may use; a net position is
settled in any case, with intraday credit of the central bank where funds are short (own). Part of
a balance can be earmarked (required reserves): it is there and may not be used. What stands here
is what each bank's book shows as its reserve, with the opposite sign.
"""

from __future__ import annotations

from typing import NamedTuple

from caiwutong.sandbox.centre import Centre

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settlement_accounts (
  bank TEXT PRIMARY KEY, balance_fen INTEGER NOT NULL, earmarked_fen INTEGER NOT NULL DEFAULT 0)
  WITHOUT ROWID
"""


class SettlementAccount(NamedTuple):
    """One bank's account."""

    bank: str
    balance_fen: int
    earmarked_fen: int

    @property
    def usable_fen(self) -> int:
        """What a gross payment may take."""
        return self.balance_fen - self.earmarked_fen


class SettlementAccounts:
    """All of them. Writes do not commit; see ``commits``."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        centre.write(_SCHEMA)
        centre.commit()

    def open(self, bank: str, balance_fen: int) -> None:
        """Open a bank's account with this balance, once."""
        self._centre.write(
            "INSERT OR IGNORE INTO settlement_accounts (bank, balance_fen) VALUES (?,?)",
            bank,
            balance_fen,
        )

    def of(self, bank: str) -> SettlementAccount:
        """A bank's account. KeyError for a bank without one."""
        rows = self._centre.read("SELECT * FROM settlement_accounts WHERE bank = ?", bank)
        if not rows:
            raise KeyError(bank)
        return SettlementAccount(*rows[0])

    def all(self) -> list[SettlementAccount]:
        """Every account, by bank."""
        rows = self._centre.read("SELECT * FROM settlement_accounts ORDER BY bank")
        return [SettlementAccount(*row) for row in rows]

    def earmark(self, bank: str, earmarked_fen: int) -> None:
        """Let so much of the balance stand unused from now on."""
        self._centre.write(
            "UPDATE settlement_accounts SET earmarked_fen = ? WHERE bank = ?", earmarked_fen, bank
        )

    def move(self, payer: str, payee: str, amount_fen: int) -> None:
        """Settle one payment between two banks."""
        for bank, change in ((payer, -amount_fen), (payee, amount_fen)):
            self._centre.write(
                "UPDATE settlement_accounts SET balance_fen = balance_fen + ? WHERE bank = ?",
                change,
                bank,
            )

    def settle_net(self, settlement: int) -> None:
        """Settle the net positions of a clearing point."""
        self._centre.write(
            "UPDATE settlement_accounts SET balance_fen = balance_fen - (SELECT net_fen"
            " FROM settlement_legs l WHERE l.settlement = ?1 AND l.bank = settlement_accounts.bank)"
            " WHERE bank IN (SELECT bank FROM settlement_legs WHERE settlement = ?1)",
            settlement,
        )
