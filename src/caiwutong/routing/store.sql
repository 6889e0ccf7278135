-- Notebooks of routing: what a tenant's payments have taught. Lock: the tenant's row.

-- name: lock
-- One reader at a time per tenant. Created on first use.
WITH made AS (
    INSERT INTO routing_notebooks (tenant, seq, body) VALUES ($1, 0, '')
    ON CONFLICT (tenant) DO UPDATE SET seq = routing_notebooks.seq
    RETURNING body
)
SELECT body FROM made;

-- name: save
-- The sequence only moves forward: what was learnt of an event is not learnt again.
UPDATE routing_notebooks SET seq = $2, body = $3, recorded_at = clock_timestamp()
WHERE tenant = $1 AND seq <= $2;

-- name: all
SELECT tenant, body FROM routing_notebooks WHERE body <> '';
