-- Routing: what each tenant's payments have taught. A snapshot with its place in the sealed log:
-- it can be deleted at any time and is learnt again from the log.

CREATE TABLE routing_notebooks (
    tenant      text PRIMARY KEY,
    seq         bigint NOT NULL CHECK (seq >= 0),
    body        bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT statement_timestamp()
);
