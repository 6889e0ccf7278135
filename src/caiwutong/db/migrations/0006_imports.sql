-- Batch imports. Guards: one import a file (unique digest), a frozen origin, an end that is not
-- left except to run again (trigger), each row in at most one place of a chunk (primary keys).
-- The file itself is kept here, compressed and sealed, so that any worker can go on with it and a
-- backup of the database is a backup of the evidence.

CREATE TABLE imports (
    tenant           text NOT NULL,
    import_id        uuid NOT NULL,
    digest           bytea NOT NULL CHECK (length(digest) = 32),
    file_name        text NOT NULL,
    sheet            text NOT NULL,
    size_bytes       bigint NOT NULL CHECK (size_bytes >= 0),
    caller           uuid NOT NULL,
    actor            text NOT NULL,
    begun_on         date NOT NULL,
    created_at       timestamptz NOT NULL,
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    state            text NOT NULL CHECK (state IN ('received', 'checking', 'checked', 'unusable',
                                                    'applying', 'stopped', 'finished')),
    fence            integer NOT NULL DEFAULT 0,
    lease_until      timestamptz,
    report           bytea,
    rows_total       integer NOT NULL DEFAULT 0 CHECK (rows_total >= 0),
    rows_done        integer NOT NULL DEFAULT 0 CHECK (rows_done >= 0),
    applied          integer NOT NULL DEFAULT 0 CHECK (applied >= 0),
    applied_fen      bigint NOT NULL DEFAULT 0 CHECK (applied_fen >= 0),
    awaiting         integer NOT NULL DEFAULT 0 CHECK (awaiting BETWEEN 0 AND applied),
    already          integer NOT NULL DEFAULT 0 CHECK (already >= 0),
    not_applied      integer NOT NULL DEFAULT 0 CHECK (not_applied >= 0),
    left_out         integer NOT NULL DEFAULT 0 CHECK (left_out >= 0),
    run_started_at   timestamptz,
    run_from         integer NOT NULL DEFAULT 0,
    updated_at       timestamptz,
    finished_at      timestamptz,
    error            bytea,
    skip_bad         boolean NOT NULL DEFAULT false,
    allow_duplicates boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, import_id),
    UNIQUE (tenant, digest),
    -- Every row of a finished import is accounted for exactly once.
    CONSTRAINT imports_every_row_accounted_for CHECK (
        state <> 'finished'
        OR (rows_done = rows_total
            AND rows_done = applied + already + not_applied + left_out))
) WITH (fillfactor = 70);

CREATE FUNCTION imports_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.digest <> OLD.digest OR NEW.caller <> OLD.caller OR NEW.begun_on <> OLD.begun_on
        OR NEW.created_at <> OLD.created_at THEN
        RAISE EXCEPTION 'the origin of import % is frozen', OLD.import_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER imports_guard BEFORE UPDATE ON imports
    FOR EACH ROW EXECUTE FUNCTION imports_guard();
CREATE TRIGGER imports_kept BEFORE DELETE OR TRUNCATE ON imports
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE DELETE, TRUNCATE ON imports FROM caiwutong_app;

CREATE TABLE import_files (
    tenant    text NOT NULL,
    import_id uuid NOT NULL,
    part      integer NOT NULL,
    body      bytea NOT NULL,
    PRIMARY KEY (tenant, import_id, part)
);
ALTER TABLE import_files ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TRIGGER import_files_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON import_files
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON import_files FROM caiwutong_app;

-- Only rows worth telling of; the others are in the chunks.
CREATE TABLE import_rows (
    tenant     text NOT NULL,
    import_id  uuid NOT NULL,
    row_no     integer NOT NULL,
    status     text NOT NULL CHECK (status IN ('bad', 'duplicate', 'refused', 'already', 'noted',
                                               'left_out')),
    problems   bytea NOT NULL,
    key        text NOT NULL,
    payment_id uuid,
    PRIMARY KEY (tenant, import_id, row_no)
);

CREATE TABLE import_chunks (
    tenant      text NOT NULL,
    import_id   uuid NOT NULL,
    chunk_no    integer NOT NULL,
    row_nos     integer[] NOT NULL,
    payment_ids uuid[] NOT NULL,
    PRIMARY KEY (tenant, import_id, chunk_no),
    CHECK (cardinality(row_nos) = cardinality(payment_ids))
);
