-- Payments. Guards: a caller's key is bound to content for ever (primary key, no update), the life
-- follows the table of payments/states.py and an end is never overwritten (trigger), nothing leaves
-- the house unauthorised (CHECK), at most one open attempt a payment and one attempt a reference.

CREATE TABLE payment_keys (
    tenant     text NOT NULL,
    key_hash   bytea NOT NULL CHECK (length(key_hash) = 16),
    digest     bytea NOT NULL CHECK (length(digest) = 32),
    payment_id uuid NOT NULL,
    PRIMARY KEY (tenant, key_hash)
) PARTITION BY HASH (tenant, key_hash);

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE payment_keys_%s PARTITION OF payment_keys
             FOR VALUES WITH (MODULUS 16, REMAINDER %s)', lpad(part::text, 2, '0'), part);
        EXECUTE format('REVOKE ALL ON payment_keys_%s FROM caiwutong_app', lpad(part::text, 2, '0'));
    END LOOP;
END
$$;
CREATE TRIGGER payment_keys_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON payment_keys FROM caiwutong_app;

CREATE TABLE payments (
    tenant             text NOT NULL,
    payment_id         uuid NOT NULL,
    direction          text NOT NULL CHECK (direction IN ('push', 'pull')),
    bank_account_id    uuid NOT NULL,
    ledger_account_id  uuid NOT NULL,
    counter_account_id uuid NOT NULL,
    amount_fen         bigint NOT NULL CHECK (amount_fen > 0),
    currency           text NOT NULL,
    priority           text NOT NULL,
    execute_on         date,
    channel            text NOT NULL,
    payee_sealed       bytea NOT NULL,
    payee_index        bytea NOT NULL,
    payee_last4        text NOT NULL,
    purpose            text NOT NULL,
    remark             text NOT NULL,
    refs               bytea NOT NULL,
    caller             uuid NOT NULL,
    actor              text NOT NULL,
    key                text NOT NULL,
    digest             bytea NOT NULL,
    import_id          uuid,
    created_at         timestamptz NOT NULL,
    recorded_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    state              text NOT NULL,
    version            integer NOT NULL DEFAULT 0,
    state_at           timestamptz NOT NULL,
    authorised_by      text NOT NULL,
    reason_code        text NOT NULL,
    reason             text NOT NULL,
    rail               text NOT NULL,
    reference          text NOT NULL,
    attempts           integer NOT NULL DEFAULT 0,
    completed_at       timestamptz,
    settled_at         timestamptz,
    returned_at        timestamptz,
    PRIMARY KEY (tenant, payment_id),
    CONSTRAINT payments_nobody_moves_money_alone CHECK (
        authorised_by <> '' OR state IN ('created', 'awaiting_signatures', 'cancelled', 'rejected')),
    CONSTRAINT payments_return_after_completion CHECK (
        returned_at IS NULL OR state = 'completed')
) WITH (fillfactor = 75);
CREATE INDEX payments_by_account ON payments (tenant, bank_account_id, payment_id);
CREATE INDEX payments_open ON payments (tenant, state, payment_id)
    WHERE state NOT IN ('completed', 'rejected', 'cancelled', 'reversed');

CREATE TABLE payment_transitions (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
-- The same table as payments/states.py; a test compares the two.
INSERT INTO payment_transitions VALUES
    ('created', 'validated'), ('created', 'awaiting_signatures'),
    ('awaiting_signatures', 'validated'), ('awaiting_signatures', 'cancelled'),
    ('validated', 'cancelled'), ('validated', 'rejected'), ('validated', 'awaiting_bank_page'),
    ('validated', 'submitted'),
    ('submitted', 'clearing'), ('submitted', 'completed'), ('submitted', 'rejected'),
    ('submitted', 'reversed'), ('submitted', 'in_doubt'),
    ('clearing', 'completed'), ('clearing', 'rejected'), ('clearing', 'reversed'),
    ('clearing', 'in_doubt'),
    ('in_doubt', 'clearing'), ('in_doubt', 'completed'), ('in_doubt', 'rejected'),
    ('in_doubt', 'reversed'),
    ('awaiting_bank_page', 'clearing'), ('awaiting_bank_page', 'completed'),
    ('awaiting_bank_page', 'rejected'), ('awaiting_bank_page', 'reversed'),
    ('awaiting_bank_page', 'in_doubt');
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON payment_transitions FROM caiwutong_app;

CREATE FUNCTION payments_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version + 1 THEN
        RAISE EXCEPTION 'payment % changed since it was read', OLD.payment_id
            USING ERRCODE = 'serialization_failure';
    END IF;
    IF NEW.amount_fen <> OLD.amount_fen OR NEW.digest <> OLD.digest
        OR NEW.bank_account_id <> OLD.bank_account_id
        OR NEW.payee_index <> OLD.payee_index THEN
        RAISE EXCEPTION 'the order of payment % is frozen', OLD.payment_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND NOT EXISTS (
        SELECT FROM payment_transitions
        WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'payment % cannot go from % to %', OLD.payment_id, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER payments_guard BEFORE UPDATE ON payments
    FOR EACH ROW EXECUTE FUNCTION payments_guard();
CREATE TRIGGER payments_kept BEFORE DELETE OR TRUNCATE ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE, TRUNCATE ON payments FROM caiwutong_app;

CREATE TABLE payment_attempts (
    tenant      text NOT NULL,
    attempt_id  uuid NOT NULL,
    payment_id  uuid NOT NULL,
    number      integer NOT NULL CHECK (number > 0),
    rail        text NOT NULL,
    reference   text NOT NULL,
    route       bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    outcome     text NOT NULL DEFAULT '',
    code        text NOT NULL DEFAULT '',
    closed_at   timestamptz,
    PRIMARY KEY (tenant, attempt_id),
    UNIQUE (tenant, rail, reference),
    UNIQUE (tenant, payment_id, number)
) WITH (fillfactor = 85);
-- Never paid twice: a second way out is opened only when the first is closed by a definite no.
CREATE UNIQUE INDEX payment_attempts_one_open ON payment_attempts (tenant, payment_id)
    WHERE outcome NOT IN ('rejected', 'revoked');

CREATE FUNCTION payment_attempts_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.outcome <> '' OR NEW.reference <> OLD.reference OR NEW.rail <> OLD.rail
        OR NEW.payment_id <> OLD.payment_id THEN
        RAISE EXCEPTION 'attempt % is written down for good', OLD.reference
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER payment_attempts_guard BEFORE UPDATE ON payment_attempts
    FOR EACH ROW EXECUTE FUNCTION payment_attempts_guard();
CREATE TRIGGER payment_attempts_kept BEFORE DELETE OR TRUNCATE ON payment_attempts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE, TRUNCATE ON payment_attempts FROM caiwutong_app;

CREATE TABLE payment_work (
    tenant     text NOT NULL,
    payment_id uuid NOT NULL,
    task       text NOT NULL CHECK (task IN ('dispatch', 'enquire')),
    due_at     timestamptz NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    fence      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, payment_id, task)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX payment_work_due ON payment_work (tenant, task, due_at);
