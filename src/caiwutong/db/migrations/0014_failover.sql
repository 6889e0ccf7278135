-- Failover. A second way out opens after a definite no, or after two people's signed decision to
-- leave an attempt that is in doubt; and nothing ends as unpaid while an attempt may have paid.

INSERT INTO payment_transitions VALUES
    ('submitted', 'validated'), ('clearing', 'validated'), ('in_doubt', 'validated'),
    ('validated', 'in_doubt'), ('validated', 'completed');

ALTER TABLE payments ADD COLUMN alarm text NOT NULL DEFAULT '';
CREATE INDEX payments_alarmed ON payments (tenant, payment_id) WHERE alarm <> '';

ALTER TABLE payment_attempts
    ADD COLUMN later      text NOT NULL DEFAULT '',
    ADD COLUMN later_code text NOT NULL DEFAULT '',
    ADD COLUMN later_at   timestamptz,
    ADD CONSTRAINT payment_attempts_outcomes CHECK (
        outcome IN ('', 'completed', 'rejected', 'revoked', 'switched')),
    ADD CONSTRAINT payment_attempts_later_is_later CHECK (later = '' OR outcome <> '');

DROP INDEX payment_attempts_one_open;
CREATE UNIQUE INDEX payment_attempts_one_open ON payment_attempts (tenant, payment_id)
    WHERE outcome NOT IN ('rejected', 'revoked', 'switched');

-- What a rail says of a closed attempt only ever goes further: a no, a yes, money that came back.
CREATE FUNCTION payment_attempt_told(word text) RETURNS integer IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN word = '' THEN 0 WHEN word IN ('rejected', 'revoked') THEN 1
                WHEN word IN ('netted', 'settled') THEN 2 WHEN word = 'returned' THEN 3 END
$$;

CREATE OR REPLACE FUNCTION payment_attempts_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reference <> OLD.reference OR NEW.rail <> OLD.rail OR NEW.payment_id <> OLD.payment_id
        OR NEW.number <> OLD.number
        OR OLD.outcome <> '' AND (NEW.outcome, NEW.code, NEW.closed_at)
            IS DISTINCT FROM (OLD.outcome, OLD.code, OLD.closed_at)
        OR OLD.outcome <> '' AND payment_attempt_told(NEW.later) <= payment_attempt_told(OLD.later)
    THEN
        RAISE EXCEPTION 'attempt % is written down for good', OLD.reference
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- Signing requests are decided only by so many different people (signing_request_guard).
    IF NEW.outcome = 'switched' AND OLD.outcome = '' AND NOT EXISTS (
        SELECT FROM signing_requests r
        WHERE r.tenant = NEW.tenant AND r.kind = 'payment.switch' AND r.subject_id = NEW.attempt_id
          AND r.state = 'decided' AND r.needed >= 2) THEN
        RAISE EXCEPTION 'attempt % is in doubt; two people must sign before it is left',
            OLD.reference USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION payments_guard() RETURNS trigger LANGUAGE plpgsql AS $$
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
    IF NEW.state <> OLD.state THEN
        IF NOT EXISTS (
            SELECT FROM payment_transitions
            WHERE from_state = OLD.state AND to_state = NEW.state) THEN
            RAISE EXCEPTION 'payment % cannot go from % to %',
                OLD.payment_id, OLD.state, NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
        IF OLD.state = 'validated' AND NEW.state IN ('completed', 'in_doubt')
            AND OLD.attempts = 0 THEN
            RAISE EXCEPTION 'payment % was never sent', OLD.payment_id
                USING ERRCODE = 'restrict_violation';
        END IF;
        -- The way to another attempt, and an end as unpaid: nothing that may pay is left open.
        IF (NEW.state = 'validated'
                OR NEW.state IN ('rejected', 'cancelled', 'reversed'))
            AND OLD.attempts > 0 AND EXISTS (
            SELECT FROM payment_attempts a
            WHERE a.tenant = NEW.tenant AND a.payment_id = NEW.payment_id
              AND (a.outcome IN ('', 'completed')
                   OR NEW.state <> 'validated'
                       AND (a.outcome = 'switched' AND a.later = ''
                            OR a.later IN ('netted', 'settled')))) THEN
            RAISE EXCEPTION 'payment % cannot become %: an attempt may have paid it',
                OLD.payment_id, NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;

-- Urgent work is claimed before the rest: the index is read from each of its two beginnings.
ALTER TABLE payment_work ADD COLUMN urgent boolean NOT NULL DEFAULT false;
CREATE INDEX payment_work_turn ON payment_work (tenant, task, urgent, due_at);
DROP INDEX payment_work_due;
