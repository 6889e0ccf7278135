-- How far each consumer of the sealed log has come. A cursor only moves forward.

-- name: read
SELECT seq FROM outbox_cursors WHERE tenant = $1 AND consumer = $2;

-- name: lock
-- FOR NO KEY UPDATE to the end of the consumer's transaction: one handler at a time per tenant and
-- consumer. Created on first use.
WITH made AS (
    INSERT INTO outbox_cursors (tenant, consumer) VALUES ($1, $2)
    ON CONFLICT (tenant, consumer) DO UPDATE SET seq = outbox_cursors.seq
    RETURNING seq
)
SELECT seq FROM made;

-- name: move
UPDATE outbox_cursors SET seq = $3, recorded_at = clock_timestamp()
WHERE tenant = $1 AND consumer = $2 AND seq < $3;

-- name: publish
-- The publisher's own place, created on first use.
INSERT INTO outbox_cursors (tenant, consumer, seq) VALUES ($1, $2, $3)
ON CONFLICT (tenant, consumer) DO UPDATE
SET seq = GREATEST(outbox_cursors.seq, excluded.seq), recorded_at = clock_timestamp();

-- name: rewind
-- After the broker lost its store: everybody's publisher goes back to the slowest consumer.
UPDATE outbox_cursors p
SET seq = LEAST(p.seq, COALESCE((SELECT min(c.seq) FROM outbox_cursors c
                                 WHERE c.tenant = p.tenant AND c.consumer <> $1), p.seq))
WHERE p.consumer = $1;

-- name: all
SELECT tenant, seq FROM outbox_cursors WHERE consumer = $1;
