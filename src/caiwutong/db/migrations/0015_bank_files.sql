-- Bank files: payments that a person carries into a bank's page. Guards: a payment is in at most one
-- live file (unique index); a file that was handed out is frozen (trigger); a row is freed only under
-- a decision that two different people signed (trigger), and only a freed row lets its attempt go
-- without the bank's word (trigger on payment_attempts).

INSERT INTO payment_transitions VALUES ('awaiting_bank_page', 'validated');

CREATE TABLE bank_files (
    tenant          text NOT NULL,
    file_id         uuid NOT NULL,
    bank_account_id uuid NOT NULL,
    template        text NOT NULL,
    day             date NOT NULL,
    number          integer NOT NULL CHECK (number > 0),
    state           text NOT NULL CHECK (state IN
        ('open', 'closed', 'exported', 'done', 'abandoned')),
    rows            integer NOT NULL DEFAULT 0 CHECK (rows >= 0),
    total_fen       bigint NOT NULL DEFAULT 0 CHECK (total_fen >= 0),
    opened_at       timestamptz NOT NULL,
    exported_at     timestamptz,
    exported_by     text NOT NULL DEFAULT '',
    file_name       text NOT NULL DEFAULT '',
    digest          bytea CHECK (octet_length(digest) = 32),
    content_sealed  bytea,
    due_at          timestamptz NOT NULL,
    reminded_at     timestamptz,
    ended_at        timestamptz,
    version         integer NOT NULL DEFAULT 0,
    recorded_at     timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (tenant, file_id),
    UNIQUE (tenant, bank_account_id, day, number),
    CONSTRAINT bank_files_exported_is_known CHECK (
        state NOT IN ('exported', 'done')
        OR (digest IS NOT NULL AND content_sealed IS NOT NULL AND exported_at IS NOT NULL))
);
CREATE UNIQUE INDEX bank_files_one_open ON bank_files (tenant, bank_account_id)
    WHERE state = 'open';
CREATE INDEX bank_files_due ON bank_files (tenant, due_at)
    WHERE state IN ('open', 'closed', 'exported');

CREATE TABLE bank_file_lines (
    tenant         text NOT NULL,
    file_id        uuid NOT NULL,
    line_no        integer NOT NULL CHECK (line_no > 0),
    payment_id     uuid NOT NULL,
    attempt_id     uuid NOT NULL,
    reference      text NOT NULL,
    amount_fen     bigint NOT NULL CHECK (amount_fen > 0),
    row_sealed     bytea NOT NULL,
    state          text NOT NULL CHECK (state IN
        ('waiting', 'accepted', 'doubt', 'settled', 'rejected', 'freed')),
    code           text NOT NULL DEFAULT '',
    words          text NOT NULL DEFAULT '',
    said_at        timestamptz,
    PRIMARY KEY (tenant, file_id, line_no),
    UNIQUE (tenant, reference)
) WITH (fillfactor = 85);
-- Never carried twice: a payment comes into a second file only when its row in the first one got a
-- definite no, or two people freed it.
CREATE UNIQUE INDEX bank_file_lines_one_live ON bank_file_lines (tenant, payment_id)
    WHERE state NOT IN ('rejected', 'freed');

CREATE TABLE bank_file_releases (
    tenant      text NOT NULL,
    release_id  uuid NOT NULL,
    file_id     uuid NOT NULL,
    line_nos    integer[] NOT NULL CHECK (cardinality(line_nos) > 0),
    reason      text NOT NULL CHECK (length(reason) > 0),
    maker       uuid NOT NULL,
    actor       text NOT NULL,
    digest      bytea NOT NULL CHECK (octet_length(digest) = 32),
    state       text NOT NULL CHECK (state IN ('proposed', 'decided', 'withdrawn')),
    signers     uuid[] NOT NULL DEFAULT '{}',
    proposed_at timestamptz NOT NULL,
    ended_at    timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (tenant, release_id)
);
CREATE UNIQUE INDEX bank_file_releases_one_proposed ON bank_file_releases (tenant, file_id)
    WHERE state = 'proposed';
CREATE INDEX bank_file_releases_by_file ON bank_file_releases (tenant, file_id);

CREATE TABLE bank_file_results (
    tenant         text NOT NULL,
    result_id      uuid NOT NULL,
    file_id        uuid NOT NULL,
    digest         bytea NOT NULL CHECK (octet_length(digest) = 32),
    file_name      text NOT NULL,
    content_sealed bytea NOT NULL,
    rows           integer NOT NULL,
    actor          text NOT NULL,
    received_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (tenant, result_id),
    UNIQUE (tenant, file_id, digest)
);
CREATE TRIGGER bank_file_results_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON bank_file_results FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON bank_file_results FROM caiwutong_app;

CREATE FUNCTION bank_files_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version + 1 THEN
        RAISE EXCEPTION 'bank file % changed since it was read', OLD.file_id
            USING ERRCODE = 'serialization_failure';
    END IF;
    IF (NEW.bank_account_id, NEW.template, NEW.day, NEW.number, NEW.opened_at)
       IS DISTINCT FROM
       (OLD.bank_account_id, OLD.template, OLD.day, OLD.number, OLD.opened_at)
       OR (OLD.state <> 'open' AND (NEW.rows, NEW.total_fen) <> (OLD.rows, OLD.total_fen))
       OR (OLD.digest IS NOT NULL AND
           (NEW.digest, NEW.content_sealed, NEW.file_name, NEW.exported_at, NEW.exported_by)
           IS DISTINCT FROM
           (OLD.digest, OLD.content_sealed, OLD.file_name, OLD.exported_at, OLD.exported_by)) THEN
        RAISE EXCEPTION 'bank file % is frozen', OLD.file_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('open', 'closed'), ('open', 'exported'), ('closed', 'exported'), ('exported', 'done'),
        ('open', 'abandoned'), ('closed', 'abandoned'), ('exported', 'abandoned')) THEN
        RAISE EXCEPTION 'bank file % cannot go from % to %', OLD.file_id, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'done' AND EXISTS (
        SELECT FROM bank_file_lines l WHERE l.tenant = NEW.tenant AND l.file_id = NEW.file_id
          AND l.state IN ('waiting', 'accepted', 'doubt')) THEN
        RAISE EXCEPTION 'bank file % still waits for rows', OLD.file_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'abandoned' AND EXISTS (
        SELECT FROM bank_file_lines l WHERE l.tenant = NEW.tenant AND l.file_id = NEW.file_id
          AND l.state <> 'freed') THEN
        RAISE EXCEPTION 'bank file % has rows nobody freed', OLD.file_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER bank_files_guard BEFORE UPDATE ON bank_files
    FOR EACH ROW EXECUTE FUNCTION bank_files_guard();
CREATE TRIGGER bank_files_kept BEFORE DELETE OR TRUNCATE ON bank_files
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE, TRUNCATE ON bank_files FROM caiwutong_app;

CREATE FUNCTION bank_file_lines_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT EXISTS (SELECT FROM bank_files f WHERE f.tenant = NEW.tenant
                         AND f.file_id = NEW.file_id AND f.state = 'open') THEN
            RAISE EXCEPTION 'bank file % takes no more rows', NEW.file_id
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.payment_id, NEW.attempt_id, NEW.reference, NEW.amount_fen, NEW.row_sealed)
       IS DISTINCT FROM
       (OLD.payment_id, OLD.attempt_id, OLD.reference, OLD.amount_fen, OLD.row_sealed) THEN
        RAISE EXCEPTION 'row % of bank file % is frozen', OLD.line_no, OLD.file_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state IN ('settled', 'rejected', 'freed')
       OR (NEW.state = 'waiting' AND OLD.state <> 'waiting') THEN
        RAISE EXCEPTION 'row % of bank file % cannot go from % to %',
            OLD.line_no, OLD.file_id, OLD.state, NEW.state USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'freed' AND (OLD.state <> 'waiting' OR NOT EXISTS (
        SELECT FROM bank_file_releases r
        WHERE r.tenant = NEW.tenant AND r.file_id = NEW.file_id AND r.state = 'decided'
          AND NEW.line_no = ANY (r.line_nos))) THEN
        RAISE EXCEPTION 'row % of bank file % was not freed by two people',
            OLD.line_no, OLD.file_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER bank_file_lines_guard BEFORE INSERT OR UPDATE ON bank_file_lines
    FOR EACH ROW EXECUTE FUNCTION bank_file_lines_guard();
CREATE TRIGGER bank_file_lines_kept BEFORE DELETE OR TRUNCATE ON bank_file_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE, TRUNCATE ON bank_file_lines FROM caiwutong_app;

CREATE FUNCTION bank_file_releases_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'proposed' THEN
            RAISE EXCEPTION 'a release begins as a proposal' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state <> 'proposed'
       OR (NEW.file_id, NEW.line_nos, NEW.reason, NEW.maker, NEW.digest)
          IS DISTINCT FROM
          (OLD.file_id, OLD.line_nos, OLD.reason, OLD.maker, OLD.digest) THEN
        RAISE EXCEPTION 'release % is written down for good', OLD.release_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'decided' AND (
        NEW.maker = ANY (NEW.signers)
        OR (SELECT count(DISTINCT who) FROM unnest(NEW.signers) AS who) < 2) THEN
        RAISE EXCEPTION 'release % was not signed by two other people', OLD.release_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER bank_file_releases_guard BEFORE INSERT OR UPDATE ON bank_file_releases
    FOR EACH ROW EXECUTE FUNCTION bank_file_releases_guard();
CREATE TRIGGER bank_file_releases_kept BEFORE DELETE OR TRUNCATE ON bank_file_releases
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE, TRUNCATE ON bank_file_releases FROM caiwutong_app;

-- An attempt that lies in a file ends by the bank's word, or by two people's: nothing else opens the
-- way for a second one.
CREATE FUNCTION bank_file_attempt_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM bank_file_lines l WHERE l.tenant = NEW.tenant
                     AND l.reference = NEW.reference AND l.state = 'freed') THEN
        RAISE EXCEPTION 'attempt % lies in a bank file that nobody gave up', NEW.reference
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER bank_file_attempt_guard BEFORE UPDATE ON payment_attempts
    FOR EACH ROW WHEN (NEW.rail = 'bank_file' AND NEW.outcome = 'revoked'
                       AND OLD.outcome IS DISTINCT FROM NEW.outcome)
    EXECUTE FUNCTION bank_file_attempt_guard();
