-- COPY writes whole pages of rows at once only where no default is volatile: clock_timestamp() is,
-- statement_timestamp() is not, and within one statement of a batch both say the same.
ALTER TABLE ledger_transfers ALTER recorded_at SET DEFAULT statement_timestamp();
ALTER TABLE payments ALTER recorded_at SET DEFAULT statement_timestamp();
ALTER TABLE audit_events ALTER recorded_at SET DEFAULT statement_timestamp();
