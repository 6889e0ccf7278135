-- The audit log's rows. Nothing here updates or deletes: there is no right to.

-- name: timeline
-- Sealed or not, in the order of their ids, which are time-ordered.
SELECT tenant, event_id, kind, subject_kind, subject_id, actor, at, body, recorded_at, xid
FROM audit_events
WHERE tenant = $1 AND subject_id = $2
ORDER BY event_id;

-- name: read_sealed
-- Events after seq $2, at most $3. The batches give each event's place and key; one probe of the
-- primary key finds it (LATERAL with a LIMIT, so that a plan made while the table was empty still
-- probes when it is large).
WITH sealed AS (
    SELECT b.first_seq + u.place - 1 AS seq, u.event_id, u.xid
    FROM audit_batches b
    CROSS JOIN LATERAL unnest(b.event_ids, b.event_xids) WITH ORDINALITY AS u (event_id, xid, place)
    WHERE b.tenant = $1
      AND b.first_seq >= (SELECT max(first_seq) FROM audit_batches
                          WHERE tenant = $1 AND first_seq <= $2 + 1)
      AND b.first_seq <= $2 + $3
      AND b.first_seq + u.place - 1 > $2
    ORDER BY seq
    LIMIT $3
)
SELECT s.seq, e.tenant, e.event_id, e.kind, e.subject_kind, e.subject_id, e.actor, e.at, e.body,
       e.recorded_at, e.xid
FROM sealed s
CROSS JOIN LATERAL (SELECT * FROM audit_events a
                    WHERE (a.tenant, a.xid, a.event_id) = ($1, s.xid, s.event_id) LIMIT 1) e
ORDER BY s.seq;

-- name: sealed_sizes
-- How many events are sealed, for every tenant that has any. Skips from tenant to tenant.
WITH RECURSIVE t AS (
    (SELECT tenant, first_seq + count - 1 AS size FROM audit_batches
     ORDER BY tenant DESC, batch_no DESC LIMIT 1)
    UNION ALL
    (SELECT b.tenant, b.first_seq + b.count - 1
     FROM t CROSS JOIN LATERAL (SELECT * FROM audit_batches a WHERE a.tenant < t.tenant
                                ORDER BY a.tenant DESC, a.batch_no DESC LIMIT 1) b)
)
SELECT tenant, size FROM t;

-- name: tenants
-- Every tenant with an event or a batch. Skips from tenant to tenant.
WITH RECURSIVE e AS (
    (SELECT tenant FROM audit_events ORDER BY tenant LIMIT 1)
    UNION ALL
    (SELECT n.tenant FROM e CROSS JOIN LATERAL (SELECT tenant FROM audit_events
        WHERE tenant > e.tenant ORDER BY tenant LIMIT 1) n)
), b AS (
    (SELECT tenant FROM audit_batches ORDER BY tenant LIMIT 1)
    UNION ALL
    (SELECT n.tenant FROM b CROSS JOIN LATERAL (SELECT tenant FROM audit_batches
        WHERE tenant > b.tenant ORDER BY tenant LIMIT 1) n)
)
SELECT tenant FROM e UNION SELECT tenant FROM b ORDER BY tenant;

-- name: pending
-- Tenants with an event beyond their last batch whose transaction is older than every transaction
-- still open: nothing can appear before such an event any more.
WITH RECURSIVE t AS (
    (SELECT tenant FROM audit_events ORDER BY tenant LIMIT 1)
    UNION ALL
    (SELECT n.tenant FROM t CROSS JOIN LATERAL (SELECT tenant FROM audit_events
        WHERE tenant > t.tenant ORDER BY tenant LIMIT 1) n)
)
SELECT t.tenant
FROM t
LEFT JOIN LATERAL (SELECT last_xid, last_event_id FROM audit_batches b WHERE b.tenant = t.tenant
                   ORDER BY batch_no DESC LIMIT 1) b ON true
CROSS JOIN LATERAL (
    SELECT FROM audit_events e
    WHERE e.tenant = t.tenant
      AND (e.xid, e.event_id) > (coalesce(b.last_xid, '0'::xid8),
                                 coalesce(b.last_event_id, '00000000-0000-0000-0000-000000000000'))
      AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY e.xid, e.event_id LIMIT 1) first_unsealed
ORDER BY t.tenant;

-- name: lock_tree
-- One sealer a tenant, until the end of the transaction. False: another one is at it.
SELECT pg_try_advisory_xact_lock(hashtextextended('caiwutong.audit.' || $1, 0));

-- name: last_batch
SELECT tenant, batch_no, first_seq, count, event_ids, event_xids, last_xid, last_event_id, leaves,
       frontier, root, head, signature, sealed_at
FROM audit_batches
WHERE tenant = $1
ORDER BY batch_no DESC
LIMIT 1;

-- name: next_events
-- What may be sealed next after ($2, $3), at most $4: only transactions older than every one still
-- open, so that a late commit is never skipped.
SELECT tenant, event_id, kind, subject_kind, subject_id, actor, at, body, recorded_at, xid
FROM audit_events
WHERE tenant = $1 AND (xid, event_id) > ($2::xid8, $3::uuid)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, event_id
LIMIT $4;

-- name: next_xid
-- The number the next transaction will get.
SELECT pg_snapshot_xmax(pg_current_snapshot());

-- name: save_batch
INSERT INTO audit_batches (tenant, batch_no, first_seq, count, event_ids, event_xids, last_xid,
                           last_event_id, leaves, frontier, root, head, signature, sealed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: batches_after
SELECT tenant, batch_no, first_seq, count, event_ids, event_xids, last_xid, last_event_id, leaves,
       frontier, root, head, signature, sealed_at
FROM audit_batches
WHERE tenant = $1 AND batch_no > $2
ORDER BY batch_no
LIMIT $3;

-- name: batch_of
-- The batch that holds the event at this place ($2 xid, $3 event id), if it is sealed.
SELECT tenant, batch_no, first_seq, count, event_ids, event_xids, last_xid, last_event_id, leaves,
       frontier, root, head, signature, sealed_at
FROM audit_batches
WHERE tenant = $1 AND (last_xid, last_event_id) >= ($2::xid8, $3::uuid)
ORDER BY last_xid, last_event_id
LIMIT 1;

-- name: batch_at
-- The batch that holds event number $2.
SELECT tenant, batch_no, first_seq, count, event_ids, event_xids, last_xid, last_event_id, leaves,
       frontier, root, head, signature, sealed_at
FROM audit_batches
WHERE tenant = $1 AND first_seq <= $2
ORDER BY first_seq DESC
LIMIT 1;

-- name: batch_sealed_from
-- The first batch sealed at $2 or later.
SELECT tenant, batch_no, first_seq, count, event_ids, event_xids, last_xid, last_event_id, leaves,
       frontier, root, head, signature, sealed_at
FROM audit_batches
WHERE tenant = $1 AND sealed_at >= $2
ORDER BY batch_no
LIMIT 1;

-- name: stream_events
SELECT tenant, event_id, kind, subject_kind, subject_id, actor, at, body, recorded_at, xid
FROM audit_events
WHERE tenant = $1
ORDER BY xid, event_id;

-- name: stream_batches
SELECT tenant, batch_no, first_seq, count, event_ids, event_xids, last_xid, last_event_id, leaves,
       frontier, root, head, signature, sealed_at
FROM audit_batches
WHERE tenant = $1
ORDER BY batch_no;

-- name: event_exists
-- Not indexed by event alone: asked once, when something is already wrong.
SELECT EXISTS (SELECT FROM audit_events WHERE tenant = $1 AND event_id = $2);

-- name: event_sealed
-- The seq this event was sealed under, if any. Reads every batch: asked once, as above.
SELECT b.first_seq + array_position(b.event_ids, $2::uuid) - 1
FROM audit_batches b
WHERE b.tenant = $1 AND $2 = ANY (b.event_ids)
ORDER BY b.batch_no
LIMIT 1;
