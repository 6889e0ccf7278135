-- Rows of approvals. Locks: a mandate's days in (mandate, day) order; a signing request by its row.
-- Callers that also lock the ledger do so first, always.

-- name: active_mandates
-- No lock: a mandate revoked at this moment may still cover one last batch.
SELECT mandate_id FROM mandates
WHERE tenant = $1 AND api_key_id = ANY ($2::uuid[]) AND state = 'active'
ORDER BY mandate_id;

-- name: mandates_by_id
SELECT mandate_id, api_key_id, bank_account_ids, payees, per_payment_fen, daily_fen, valid_from,
       valid_until, digest, maker, state, proposed_at, revoked_at
FROM mandates
WHERE tenant = $1 AND mandate_id = ANY ($2::uuid[]);

-- name: mandate
-- Locked: its state is about to be judged.
SELECT mandate_id, api_key_id, bank_account_ids, payees, per_payment_fen, daily_fen, valid_from,
       valid_until, digest, maker, state, proposed_at, revoked_at
FROM mandates
WHERE tenant = $1 AND mandate_id = $2
FOR NO KEY UPDATE;

-- name: mandates
SELECT mandate_id, api_key_id, bank_account_ids, payees, per_payment_fen, daily_fen, valid_from,
       valid_until, digest, maker, state, proposed_at, revoked_at
FROM mandates
WHERE tenant = $1 AND mandate_id > $2
ORDER BY mandate_id
LIMIT $3;

-- name: insert_mandate
INSERT INTO mandates (tenant, mandate_id, api_key_id, bank_account_ids, payees, per_payment_fen,
                      daily_fen, valid_from, valid_until, digest, maker, state, proposed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'proposed', $12);

-- name: set_mandate_state
UPDATE mandates SET state = $3, revoked_at = $4 WHERE tenant = $1 AND mandate_id = $2;

-- name: lock_days
-- In (mandate, day) order.
SELECT u.mandate_id, u.day, u.used_fen, u.limit_fen
FROM mandate_usage u
JOIN unnest($2::uuid[], $3::date[]) AS w (mandate_id, day) USING (mandate_id, day)
WHERE u.tenant = $1
ORDER BY u.mandate_id, u.day
FOR NO KEY UPDATE OF u;

-- name: open_days
-- The first use of a mandate on a day. The limit comes from the mandate, not from the caller.
INSERT INTO mandate_usage (tenant, mandate_id, day, used_fen, limit_fen)
SELECT m.tenant, m.mandate_id, w.day, 0, m.daily_fen
FROM unnest($2::uuid[], $3::date[]) AS w (mandate_id, day)
JOIN mandates m ON m.tenant = $1 AND m.mandate_id = w.mandate_id AND m.state = 'active'
ORDER BY w.mandate_id, w.day
ON CONFLICT DO NOTHING;

-- name: save_days
UPDATE mandate_usage u
SET used_fen = n.used_fen
FROM unnest($2::uuid[], $3::date[], $4::bigint[]) AS n (mandate_id, day, used_fen)
WHERE u.tenant = $1 AND u.mandate_id = n.mandate_id AND u.day = n.day;

-- name: usage
SELECT mandate_id, day, used_fen, limit_fen FROM mandate_usage
WHERE tenant = $1 AND mandate_id = $2 AND day = $3;

-- name: policy
SELECT from_fen, needed FROM approval_policies
WHERE tenant = $1 AND kind = $2
ORDER BY from_fen;

-- name: clear_policy
DELETE FROM approval_policies WHERE tenant = $1 AND kind = $2;

-- name: insert_policy
INSERT INTO approval_policies (tenant, kind, from_fen, needed, changed_at)
SELECT $1, $2, w.from_fen, w.needed, $5
FROM unnest($3::bigint[], $4::smallint[]) AS w (from_fen, needed);

-- name: lock_requests
-- The newest round of each subject, locked in subject order: one probe of the primary key each,
-- however many requests wait.
SELECT r.kind, r.subject_id, r.digest, r.round, r.needed, r.maker, r.state, r.requested_at,
       r.ended_at
FROM (SELECT kind, subject_id FROM unnest($2::text[], $3::uuid[]) AS u (kind, subject_id)
      ORDER BY kind, subject_id) AS w
CROSS JOIN LATERAL (
    SELECT n.kind, n.subject_id, n.digest, n.round, n.needed, n.maker, n.state, n.requested_at,
           n.ended_at
    FROM signing_requests n
    WHERE n.tenant = $1 AND n.kind = w.kind AND n.subject_id = w.subject_id
    ORDER BY n.round DESC
    LIMIT 1
    FOR NO KEY UPDATE) AS r;

-- name: request
SELECT kind, subject_id, digest, round, needed, maker, state, requested_at, ended_at
FROM signing_requests
WHERE tenant = $1 AND kind = $2 AND subject_id = $3
ORDER BY round DESC
LIMIT 1;

-- name: waiting
-- What waits for people, in id order, after an id.
SELECT kind, subject_id, digest, round, needed, maker, state, requested_at, ended_at
FROM signing_requests
WHERE tenant = $1 AND state = 'waiting' AND subject_id > $2
ORDER BY subject_id
LIMIT $3;

-- name: insert_requests
INSERT INTO signing_requests (tenant, kind, subject_id, round, digest, needed, maker, state,
                              requested_at)
SELECT $1, w.kind, w.subject_id, w.round, w.digest, w.needed, w.maker, 'waiting', $8
FROM unnest($2::text[], $3::uuid[], $4::int[], $5::bytea[], $6::smallint[], $7::uuid[])
     AS w (kind, subject_id, round, digest, needed, maker)
ORDER BY w.kind, w.subject_id
ON CONFLICT DO NOTHING;

-- name: end_requests
UPDATE signing_requests r
SET state = $5, ended_at = $6
FROM unnest($2::text[], $3::uuid[], $4::int[]) AS w (kind, subject_id, round)
WHERE r.tenant = $1 AND r.kind = w.kind AND r.subject_id = w.subject_id AND r.round = w.round;

-- name: signatures
SELECT kind, subject_id, round, person_id, digest, algorithm, public_key, signature, signed_at
FROM signatures
WHERE tenant = $1 AND kind = $2 AND subject_id = $3
ORDER BY round, signed_at, person_id;

-- name: insert_signature
INSERT INTO signatures (tenant, kind, subject_id, round, person_id, digest, algorithm, public_key,
                        signature, signed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);
