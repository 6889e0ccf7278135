-- The ledger. Balances live on the account row; every change of them is an entry with the figures
-- after it, so any moment of the past is one index probe. Guards: available never below the
-- authorised overdraft (CHECK), entries of a statement sum to zero per currency (trigger), entries
-- and transfers are never changed (trigger and rights), no posting into a closed period (trigger).
-- beyond_fen: what the bank itself took beyond the authorised overdraft (a fee on an empty account).
-- We can only record it; it falls as the balance recovers, and only forced transfers raise it.

CREATE TABLE ledger_accounts (
    tenant        text NOT NULL,
    account_id    uuid NOT NULL,
    code          text NOT NULL,
    name          text NOT NULL,
    normal_side   smallint NOT NULL CHECK (normal_side IN (1, -1)),
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    overdraft_fen bigint CHECK (overdraft_fen >= 0),
    posted_fen    bigint NOT NULL DEFAULT 0,
    held_fen      bigint NOT NULL DEFAULT 0 CHECK (held_fen >= 0),
    beyond_fen    bigint NOT NULL DEFAULT 0 CHECK (beyond_fen >= 0),
    seq           bigint NOT NULL DEFAULT 0,
    last_at       timestamptz,
    opened_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant, account_id),
    UNIQUE (tenant, code),
    CONSTRAINT ledger_accounts_no_overdraft
        CHECK (overdraft_fen IS NULL OR posted_fen - held_fen >= -(overdraft_fen + beyond_fen))
) WITH (fillfactor = 50);

CREATE TABLE ledger_transfers (
    tenant      text NOT NULL,
    transfer_id uuid NOT NULL,
    debit       uuid NOT NULL,
    credit      uuid NOT NULL CHECK (credit <> debit),
    amount_fen  bigint NOT NULL CHECK (amount_fen > 0),
    currency    text NOT NULL,
    kind        text NOT NULL,
    at          timestamptz NOT NULL,
    period      integer NOT NULL,
    subject     uuid,
    hold_id     uuid,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, transfer_id)
);

CREATE TABLE ledger_entries (
    tenant       text NOT NULL,
    account_id   uuid NOT NULL,
    at           timestamptz NOT NULL,
    seq          bigint NOT NULL,
    cause        uuid NOT NULL,
    amount_fen   bigint NOT NULL,
    held_fen     bigint NOT NULL,
    posted_after bigint NOT NULL,
    held_after   bigint NOT NULL CHECK (held_after >= 0),
    currency     text NOT NULL,
    PRIMARY KEY (tenant, account_id, at, seq)
);

CREATE TABLE ledger_holds (
    tenant      text NOT NULL,
    hold_id     uuid NOT NULL,
    account_id  uuid NOT NULL,
    amount_fen  bigint NOT NULL CHECK (amount_fen > 0),
    state       text NOT NULL CHECK (state IN ('held', 'posted', 'voided', 'expired')),
    opened_at   timestamptz NOT NULL,
    expires_at  timestamptz,
    posted_fen  bigint NOT NULL DEFAULT 0 CHECK (posted_fen BETWEEN 0 AND amount_fen),
    transfer_id uuid,
    closed_at   timestamptz,
    PRIMARY KEY (tenant, hold_id),
    CHECK ((state = 'posted') = (transfer_id IS NOT NULL)),
    CHECK ((state = 'held') = (closed_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX ledger_holds_expiring ON ledger_holds (tenant, expires_at)
    WHERE state = 'held' AND expires_at IS NOT NULL;

CREATE TABLE ledger_periods (
    tenant    text NOT NULL,
    period    integer NOT NULL,
    closed_at timestamptz NOT NULL,
    closed_by text NOT NULL,
    PRIMARY KEY (tenant, period)
);

-- A hold that ended never changes again: it is posted once or released once.
CREATE FUNCTION ledger_hold_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'held' OR NEW.amount_fen <> OLD.amount_fen
        OR NEW.account_id <> OLD.account_id THEN
        RAISE EXCEPTION 'hold % is %: it cannot change', OLD.hold_id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER ledger_hold_guard BEFORE UPDATE ON ledger_holds
    FOR EACH ROW EXECUTE FUNCTION ledger_hold_guard();

CREATE FUNCTION ledger_zero_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT tenant, currency, sum(amount_fen) AS total INTO wrong
    FROM fresh GROUP BY tenant, currency HAVING sum(amount_fen) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entries of % in % sum to % fen, not zero',
            wrong.tenant, wrong.currency, wrong.total USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_zero_guard AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_zero_guard();

CREATE FUNCTION ledger_period_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger_periods p
               WHERE (p.tenant, p.period) IN (SELECT DISTINCT tenant, period FROM fresh)) THEN
        RAISE EXCEPTION 'the accounting period is closed' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_period_guard AFTER INSERT ON ledger_transfers
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_period_guard();

CREATE TRIGGER ledger_transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_accounts_kept BEFORE DELETE OR TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_holds_kept BEFORE DELETE OR TRUNCATE ON ledger_holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_transfers, ledger_entries FROM caiwutong_app;
REVOKE DELETE, TRUNCATE ON ledger_accounts, ledger_holds FROM caiwutong_app;
