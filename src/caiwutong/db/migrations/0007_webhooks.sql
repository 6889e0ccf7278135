-- Where each reader of the sealed event log stands, and the addresses we deliver events to.
-- A cursor moves in the transaction of its consumer, so every event has its effect exactly once.

CREATE TABLE outbox_cursors (
    tenant      text NOT NULL,
    consumer    text NOT NULL,
    seq         bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, consumer)
) WITH (fillfactor = 50);

CREATE TABLE webhook_endpoints (
    tenant           text NOT NULL,
    webhook_id       uuid NOT NULL,
    url              text NOT NULL CHECK (length(url) <= 2048),
    kinds            text[] NOT NULL,
    description      text NOT NULL DEFAULT '',
    state            text NOT NULL CHECK (state IN ('active', 'paused', 'disabled', 'removed')),
    version          integer NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL,
    secret           bytea NOT NULL,
    old_secret       bytea,
    old_secret_until timestamptz,
    delivered_seq    bigint NOT NULL CHECK (delivered_seq >= 0),
    latest_seq       bigint NOT NULL,
    attempts         integer NOT NULL DEFAULT 0,
    due_at           timestamptz,
    failing_since    timestamptz,
    last_status      integer,
    last_error       text NOT NULL DEFAULT '',
    lease            bigint NOT NULL DEFAULT 0,
    lease_until      timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, webhook_id),
    CHECK ((old_secret IS NULL) = (old_secret_until IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX webhook_endpoints_due ON webhook_endpoints (due_at)
    WHERE state = 'active' AND due_at IS NOT NULL;

CREATE TABLE webhook_deliveries (
    tenant      text NOT NULL,
    webhook_id  uuid NOT NULL,
    seq         bigint NOT NULL,
    event_id    text NOT NULL,
    kind        text NOT NULL,
    delivered   boolean NOT NULL,
    attempts    integer NOT NULL,
    status      integer,
    error       text NOT NULL DEFAULT '',
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, webhook_id, seq)
);
