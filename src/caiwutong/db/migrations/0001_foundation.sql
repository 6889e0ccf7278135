-- The role the application acts as, and the guard for append-only tables.
-- Tenant is the first column of every key; there are no foreign keys on hot tables.

-- The role that migrates needs no superuser: it owns the database and may create roles, or somebody
-- made caiwutong_app for it and granted it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'caiwutong_app') THEN
        BEGIN
            CREATE ROLE caiwutong_app NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- Another database of this cluster made it in this moment.
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'caiwutong_app', 'SET') THEN
        EXECUTE format('GRANT caiwutong_app TO %I', current_user);
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO caiwutong_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO caiwutong_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO caiwutong_app;

-- Rows of an append-only table are never changed, whoever asks (a superuser must first disable
-- the trigger, and the audit tree still tells).
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE tenants (
    tenant      text PRIMARY KEY CHECK (tenant ~ '^[a-z][a-z0-9_-]{1,31}$'),
    name        text NOT NULL,
    demo        boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
