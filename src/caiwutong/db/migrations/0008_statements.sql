-- Statements: what the banks say. The bank's part of a line is never changed; its explanation is
-- made once, may wait for its payment's end, and may leave suspense once (trigger). One ledger
-- transfer stands for one line of an account (unique index), so nothing is explained twice.

CREATE TABLE statement_lines (
    tenant              text NOT NULL,
    bank_account_id     uuid NOT NULL,
    line_id             text NOT NULL,
    position            bigint NOT NULL CHECK (position > 0),
    booked_at           timestamptz NOT NULL,
    value_date          date NOT NULL,
    amount_fen          bigint NOT NULL,
    balance_after_fen   bigint NOT NULL,
    gap_fen             bigint NOT NULL,
    kind                text NOT NULL,
    reference           text NOT NULL,
    counterparty_sealed bytea NOT NULL,
    counterparty_index  bytea NOT NULL CHECK (octet_length(counterparty_index) IN (0, 16)),
    counterparty_last4  text NOT NULL CHECK (length(counterparty_last4) <= 4),
    words               text NOT NULL,
    rail                text NOT NULL,
    read_at             timestamptz NOT NULL,
    recorded_at         timestamptz NOT NULL DEFAULT statement_timestamp(),
    explained_by        text NOT NULL CHECK (explained_by IN
        ('', 'payment', 'return', 'fee', 'interest', 'opening', 'internal', 'suspense', 'incoming',
         'correction')),
    payment_id          uuid,
    transfer_id         uuid,
    moved_by            uuid,
    corrects            text NOT NULL DEFAULT '',
    due_at              timestamptz,
    tries               integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, bank_account_id, line_id),
    UNIQUE (tenant, bank_account_id, position),
    CONSTRAINT statement_lines_nothing_is_open CHECK (explained_by <> '' OR due_at IS NOT NULL)
) WITH (fillfactor = 85);
CREATE INDEX statement_lines_by_reference
    ON statement_lines (tenant, bank_account_id, reference) WHERE reference <> '';
CREATE INDEX statement_lines_due ON statement_lines (tenant, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX statement_lines_open ON statement_lines (tenant, bank_account_id, position)
    WHERE due_at IS NOT NULL;
CREATE INDEX statement_lines_suspense ON statement_lines (tenant, bank_account_id, position)
    WHERE explained_by = 'suspense';
CREATE INDEX statement_lines_gaps ON statement_lines (tenant, bank_account_id, position)
    WHERE gap_fen <> 0;
CREATE INDEX statement_lines_by_amount ON statement_lines (tenant, bank_account_id, amount_fen)
    WHERE explained_by IN ('fee', 'interest', 'suspense');
CREATE UNIQUE INDEX statement_lines_one_transfer
    ON statement_lines (tenant, bank_account_id, transfer_id) WHERE transfer_id IS NOT NULL;
CREATE UNIQUE INDEX statement_lines_corrected_once
    ON statement_lines (tenant, bank_account_id, corrects) WHERE corrects <> '';

CREATE FUNCTION statement_lines_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.position, NEW.booked_at, NEW.value_date, NEW.amount_fen, NEW.balance_after_fen,
        NEW.gap_fen, NEW.kind, NEW.reference, NEW.counterparty_sealed, NEW.counterparty_index,
        NEW.counterparty_last4, NEW.words, NEW.rail, NEW.read_at, NEW.corrects,
        NEW.bank_account_id, NEW.line_id)
       IS DISTINCT FROM
       (OLD.position, OLD.booked_at, OLD.value_date, OLD.amount_fen, OLD.balance_after_fen,
        OLD.gap_fen, OLD.kind, OLD.reference, OLD.counterparty_sealed, OLD.counterparty_index,
        OLD.counterparty_last4, OLD.words, OLD.rail, OLD.read_at, OLD.corrects,
        OLD.bank_account_id, OLD.line_id) THEN
        RAISE EXCEPTION 'line % is what the bank said', OLD.line_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.due_at IS NOT NULL THEN
        RETURN NEW;
    END IF;
    IF OLD.explained_by = 'suspense' AND OLD.moved_by IS NULL AND NEW.moved_by IS NOT NULL
        AND NEW.transfer_id = OLD.transfer_id AND NEW.due_at IS NULL THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'line % is explained already', OLD.line_id
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER statement_lines_guard BEFORE UPDATE ON statement_lines
    FOR EACH ROW EXECUTE FUNCTION statement_lines_guard();
CREATE TRIGGER statement_lines_kept BEFORE DELETE OR TRUNCATE ON statement_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE, TRUNCATE ON statement_lines FROM caiwutong_app;

CREATE TABLE statement_cursors (
    tenant           text NOT NULL,
    bank_account_id  uuid NOT NULL,
    rail             text NOT NULL,
    cursor           text NOT NULL,
    read_at          timestamptz,
    next_at          timestamptz NOT NULL,
    fence            bigint NOT NULL DEFAULT 0,
    failures         integer NOT NULL DEFAULT 0,
    trouble          text NOT NULL DEFAULT '',
    lines            bigint NOT NULL DEFAULT 0,
    last_balance_fen bigint,
    last_booked_at   timestamptz,
    opened_fen       bigint,
    matched_to       timestamptz,
    PRIMARY KEY (tenant, bank_account_id)
) WITH (fillfactor = 70);
CREATE INDEX statement_cursors_due ON statement_cursors (tenant, next_at);

CREATE TABLE bank_balances (
    tenant          text NOT NULL,
    bank_account_id uuid NOT NULL,
    at              timestamptz NOT NULL,
    balance_fen     bigint NOT NULL,
    available_fen   bigint NOT NULL,
    source          text NOT NULL,
    read_at         timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (tenant, bank_account_id, at, source)
);
CREATE TRIGGER bank_balances_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bank_balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON bank_balances FROM caiwutong_app;
