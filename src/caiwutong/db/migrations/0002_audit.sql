-- The audit log, which is also the outbox. An event is written in the transaction of what it tells;
-- later the sealer puts events into batches of a Merkle tree and alone gives them their sequence.
-- Guards: events and batches are never changed (trigger and rights), batches follow each other
-- without a gap (trigger), the application cannot choose an event's transaction number (rights).

-- The key is the order the sealer reads in. xid is the writing transaction: once every lower one
-- has ended, nothing can appear before the cursor any more, however late it commits.
CREATE TABLE audit_events (
    tenant       text NOT NULL,
    event_id     uuid NOT NULL,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind         text NOT NULL CHECK (kind <> ''),
    subject_kind text NOT NULL,
    subject_id   uuid NOT NULL,
    actor        text NOT NULL,
    at           timestamptz NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    body         bytea NOT NULL,
    PRIMARY KEY (tenant, xid, event_id)
);
CREATE INDEX audit_events_of_subject ON audit_events (tenant, subject_id, event_id);

-- One row a batch. leaves: 32 bytes an event, in order; frontier: the peaks of the tree after it;
-- head: the bytes that were signed and exported.
CREATE TABLE audit_batches (
    tenant        text NOT NULL,
    batch_no      bigint NOT NULL CHECK (batch_no > 0),
    first_seq     bigint NOT NULL CHECK (first_seq > 0),
    count         integer NOT NULL CHECK (count > 0),
    event_ids     uuid[] NOT NULL CHECK (cardinality(event_ids) = count),
    event_xids    xid8[] NOT NULL CHECK (cardinality(event_xids) = count),
    last_xid      xid8 NOT NULL,
    last_event_id uuid NOT NULL,
    leaves        bytea NOT NULL CHECK (octet_length(leaves) = 32 * count),
    frontier      bytea NOT NULL,
    root          bytea NOT NULL CHECK (octet_length(root) = 32),
    head          bytea NOT NULL,
    signature     bytea NOT NULL,
    sealed_at     timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, batch_no),
    UNIQUE (tenant, first_seq)
);
CREATE INDEX audit_batches_by_place ON audit_batches (tenant, last_xid, last_event_id);
ALTER TABLE audit_batches ALTER leaves SET STORAGE EXTERNAL;

CREATE FUNCTION audit_batch_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before audit_batches%ROWTYPE;
BEGIN
    SELECT * INTO before FROM audit_batches b
    WHERE b.tenant = NEW.tenant ORDER BY b.batch_no DESC LIMIT 1;
    IF NEW.batch_no <> coalesce(before.batch_no, 0) + 1
        OR NEW.first_seq <> coalesce(before.first_seq + before.count, 1)
        OR (NEW.last_xid, NEW.last_event_id) <= (before.last_xid, before.last_event_id) THEN
        RAISE EXCEPTION 'batch % of % does not follow batch %',
            NEW.batch_no, NEW.tenant, coalesce(before.batch_no, 0)
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_batch_guard BEFORE INSERT ON audit_batches
    FOR EACH ROW EXECUTE FUNCTION audit_batch_guard();

CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_batches_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_batches
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

REVOKE ALL ON audit_events, audit_batches FROM caiwutong_app;
GRANT SELECT ON audit_events, audit_batches TO caiwutong_app;
GRANT INSERT (tenant, event_id, kind, subject_kind, subject_id, actor, at, body)
    ON audit_events TO caiwutong_app;
GRANT INSERT (tenant, batch_no, first_seq, count, event_ids, event_xids, last_xid, last_event_id,
              leaves, frontier, root, head, signature, sealed_at)
    ON audit_batches TO caiwutong_app;
