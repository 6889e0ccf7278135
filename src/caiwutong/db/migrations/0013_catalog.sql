-- The dated catalog: what an installation learns about its rails, beside what is shipped.
-- A change (facts recorded together, with who and why) is written once; its facts when it counts.
-- Guards: nothing is edited or removed (triggers and rights); facts come only from a change that
-- is written down, whole or not at all, and not before the people it needs have signed; versions
-- rise by one, so a reader that knows a version misses nothing after it.

CREATE TABLE catalog_versions (
    tenant      text PRIMARY KEY,
    version     bigint NOT NULL CHECK (version >= 0),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

CREATE TABLE catalog_changes (
    tenant      text NOT NULL,
    change_id   uuid NOT NULL,
    maker       uuid NOT NULL,
    actor       text NOT NULL CHECK (actor <> ''),
    reason      text NOT NULL,
    facts       bytea NOT NULL,
    digest      bytea NOT NULL CHECK (octet_length(digest) = 32),
    needed      smallint NOT NULL CHECK (needed >= 0),
    because     text[] NOT NULL CHECK ((needed > 0) = (cardinality(because) > 0)),
    message_key text NOT NULL,
    proposed_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, change_id),
    CHECK (message_key = '' OR needed = 0)
);
CREATE UNIQUE INDEX catalog_changes_once ON catalog_changes (tenant, message_key)
    WHERE message_key <> '';

CREATE TABLE catalog_facts (
    tenant      text NOT NULL,
    version     bigint NOT NULL,
    place       integer NOT NULL,
    fact_id     uuid NOT NULL,
    change_id   uuid NOT NULL,
    kind        text NOT NULL,
    rail        text NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_until timestamptz CHECK (valid_until > valid_from),
    body        bytea NOT NULL,
    known_at    timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, version, place),
    UNIQUE (tenant, fact_id)
);
CREATE INDEX catalog_facts_of_change ON catalog_facts (tenant, change_id);

CREATE FUNCTION catalog_version_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version + 1 THEN
        RAISE EXCEPTION 'version % does not follow %', NEW.version, OLD.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER catalog_version_guard BEFORE UPDATE ON catalog_versions
    FOR EACH ROW EXECUTE FUNCTION catalog_version_guard();

CREATE FUNCTION catalog_fact_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change catalog_changes;
BEGIN
    SELECT * INTO change FROM catalog_changes c
    WHERE (c.tenant, c.change_id) = (NEW.tenant, NEW.change_id);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no change % is written down', NEW.change_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM catalog_versions v
                   WHERE (v.tenant, v.version) = (NEW.tenant, NEW.version)) THEN
        RAISE EXCEPTION 'version % is not the present one', NEW.version
            USING ERRCODE = 'check_violation';
    END IF;
    IF change.needed > (
        SELECT count(DISTINCT s.person_id)
        FROM signatures s JOIN signing_requests r USING (tenant, kind, subject_id, round)
        WHERE (s.tenant, s.kind, s.subject_id, s.digest)
            = (NEW.tenant, 'catalog', NEW.change_id, change.digest)
          AND s.person_id <> change.maker AND r.state = 'decided') THEN
        RAISE EXCEPTION 'change % needs another person', NEW.change_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER catalog_fact_guard BEFORE INSERT ON catalog_facts
    FOR EACH ROW EXECUTE FUNCTION catalog_fact_guard();

CREATE TRIGGER catalog_changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON catalog_changes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER catalog_facts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON catalog_facts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER catalog_versions_kept BEFORE DELETE OR TRUNCATE ON catalog_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

REVOKE UPDATE, DELETE, TRUNCATE ON catalog_versions, catalog_changes, catalog_facts
    FROM caiwutong_app;
GRANT UPDATE (version, recorded_at) ON catalog_versions TO caiwutong_app;
