-- Webhook endpoints and what was delivered. One row is locked at a time, so nothing deadlocks.

-- name: insert
INSERT INTO webhook_endpoints (tenant, webhook_id, url, kinds, description, state, created_at,
                               secret, delivered_seq, latest_seq)
VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, $8, $8);

-- name: read
-- No lock. Removed endpoints are gone for their owner.
SELECT webhook_id, url, kinds, description, state, version, created_at, delivered_seq, latest_seq,
       attempts, due_at, failing_since, last_status, last_error,
       secret, old_secret, old_secret_until
FROM webhook_endpoints
WHERE tenant = $1 AND webhook_id = $2 AND state <> 'removed';

-- name: page
SELECT webhook_id, url, kinds, description, state, version, created_at, delivered_seq, latest_seq,
       attempts, due_at, failing_since, last_status, last_error
FROM webhook_endpoints
WHERE tenant = $1 AND state <> 'removed' AND ($2::uuid IS NULL OR webhook_id > $2)
ORDER BY webhook_id
LIMIT $3;

-- name: change
-- Only the version its owner read: 0 rows when it changed since. A new lease number fences off a
-- delivery under way.
UPDATE webhook_endpoints
SET url = $4, kinds = $5, description = $6, state = $7, due_at = $8, version = version + 1,
    attempts = 0, failing_since = NULL, lease = lease + 1, lease_until = NULL
WHERE tenant = $1 AND webhook_id = $2 AND version = $3 AND state <> 'removed';

-- name: rotate
UPDATE webhook_endpoints
SET old_secret = secret, old_secret_until = $4, secret = $3, version = version + 1
WHERE tenant = $1 AND webhook_id = $2 AND state <> 'removed';

-- name: move
-- Replay: the cursor goes back, the lease number rises so that a delivery under way cannot put it
-- forward again. $5: the sealed head now.
UPDATE webhook_endpoints
SET delivered_seq = LEAST($3::bigint, $5::bigint), latest_seq = GREATEST(latest_seq, $5::bigint),
    due_at = $4,
    attempts = 0, failing_since = NULL, lease = lease + 1, lease_until = NULL,
    version = version + 1
WHERE tenant = $1 AND webhook_id = $2 AND state <> 'removed';

-- name: tell
-- There is something new for every active endpoint of the tenant; one waiting for a retry waits on.
UPDATE webhook_endpoints
SET latest_seq = $2, due_at = COALESCE(due_at, $3)
WHERE tenant = $1 AND state IN ('active', 'paused', 'disabled') AND latest_seq < $2;

-- name: claim
-- Endpoints whose time has come, each for one worker until the lease ends. MATERIALIZED: a plain
-- subquery may be run again by a nested loop, and then more than the limit is claimed.
WITH d AS MATERIALIZED (
      SELECT tenant, webhook_id FROM webhook_endpoints
      WHERE state = 'active' AND due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
      ORDER BY due_at
      LIMIT $3
      FOR UPDATE SKIP LOCKED)
UPDATE webhook_endpoints e
SET lease = e.lease + 1, lease_until = $2
FROM d
WHERE e.tenant = d.tenant AND e.webhook_id = d.webhook_id
RETURNING e.webhook_id, url, kinds, description, state, version, created_at, delivered_seq,
          latest_seq, attempts, due_at, failing_since, last_status, last_error,
          secret, old_secret, old_secret_until, e.tenant, lease,
          COALESCE((SELECT t.demo FROM tenants t WHERE t.tenant = e.tenant), false) AS demo;

-- name: settle
-- Only under the lease it was claimed with. News that came meanwhile keeps it due.
UPDATE webhook_endpoints
SET delivered_seq = $4, state = $5, attempts = $6,
    due_at = CASE WHEN $5 = 'active' AND $7::timestamptz IS NULL AND latest_seq > $4
                  THEN $11 ELSE $7 END,
    failing_since = $8, last_status = $9, last_error = $10, lease_until = NULL,
    version = version + CASE WHEN $5 <> 'active' THEN 1 ELSE 0 END
WHERE tenant = $1 AND webhook_id = $2 AND lease = $3 AND state = 'active';

-- name: log
INSERT INTO webhook_deliveries (tenant, webhook_id, seq, event_id, kind, delivered, attempts,
                                status, error, first_at, last_at)
SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::int[],
                             $8::int[], $9::text[], $10::timestamptz[], $11::timestamptz[])
ON CONFLICT (tenant, webhook_id, seq) DO UPDATE
SET delivered = excluded.delivered, attempts = webhook_deliveries.attempts + excluded.attempts,
    status = excluded.status, error = excluded.error, last_at = excluded.last_at;

-- name: deliveries
SELECT seq, event_id, kind, delivered, attempts, status, error, first_at, last_at
FROM webhook_deliveries
WHERE tenant = $1 AND webhook_id = $2 AND seq < $3
ORDER BY seq DESC
LIMIT $4;

-- name: demo
SELECT demo FROM tenants WHERE tenant = $1;
