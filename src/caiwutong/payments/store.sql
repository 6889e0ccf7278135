-- Rows of payments. Locks: payments in id order, then (in the ledger) accounts and holds in id
-- order. Every query names its tenant first.

-- name: known_keys
-- One probe of one partition a key: LATERAL, because ANY would look for every key in all of them.
SELECT k.key_hash, k.digest, k.payment_id
FROM unnest($2::bytea[]) AS w (key_hash)
CROSS JOIN LATERAL (SELECT key_hash, digest, payment_id FROM payment_keys p
                    WHERE p.tenant = $1 AND p.key_hash = w.key_hash LIMIT 1) k;

-- name: states_of
SELECT payment_id, state, reason FROM payments
WHERE tenant = $1 AND payment_id = ANY ($2::uuid[]);

-- name: lock_payments
-- FOR NO KEY UPDATE, in id order.
SELECT payment_id, direction, bank_account_id, ledger_account_id, counter_account_id,
       amount_fen, currency, priority, execute_on, channel, payee_sealed, payee_index,
       payee_last4, purpose, remark, refs, caller, actor, key, digest, import_id, created_at,
       state, version, state_at, authorised_by, reason_code, reason, rail, reference, attempts,
       completed_at, settled_at, returned_at, alarm
FROM payments
WHERE tenant = $1 AND payment_id = ANY ($2::uuid[])
ORDER BY payment_id
FOR NO KEY UPDATE;

-- name: many
-- Without a lock: for those who only read.
SELECT payment_id, direction, bank_account_id, ledger_account_id, counter_account_id,
       amount_fen, currency, priority, execute_on, channel, payee_sealed, payee_index,
       payee_last4, purpose, remark, refs, caller, actor, key, digest, import_id, created_at,
       state, version, state_at, authorised_by, reason_code, reason, rail, reference, attempts,
       completed_at, settled_at, returned_at, alarm
FROM payments
WHERE tenant = $1 AND payment_id = ANY ($2::uuid[]);

-- name: payment
SELECT payment_id, direction, bank_account_id, ledger_account_id, counter_account_id,
       amount_fen, currency, priority, execute_on, channel, payee_sealed, payee_index,
       payee_last4, purpose, remark, refs, caller, actor, key, digest, import_id, created_at,
       state, version, state_at, authorised_by, reason_code, reason, rail, reference, attempts,
       completed_at, settled_at, returned_at, alarm
FROM payments
WHERE tenant = $1 AND payment_id = $2;

-- name: update_payments
-- The guard trigger checks the version and the transition of each row.
UPDATE payments p
SET state = n.state, version = n.version, state_at = n.state_at, authorised_by = n.authorised_by,
    reason_code = n.reason_code, reason = n.reason, rail = n.rail, reference = n.reference,
    attempts = n.attempts, completed_at = n.completed_at, settled_at = n.settled_at,
    returned_at = n.returned_at, alarm = n.alarm
FROM unnest($2::uuid[], $3::text[], $4::int[], $5::timestamptz[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::int[], $12::timestamptz[],
            $13::timestamptz[], $14::timestamptz[], $15::text[])
     AS n (payment_id, state, version, state_at, authorised_by, reason_code, reason, rail,
           reference, attempts, completed_at, settled_at, returned_at, alarm)
WHERE p.tenant = $1 AND p.payment_id = n.payment_id;

-- name: insert_attempts
INSERT INTO payment_attempts (tenant, attempt_id, payment_id, number, rail, reference, route,
                              created_at, valid_until)
SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::bytea[],
                         $8::timestamptz[], $9::timestamptz[]);

-- name: attempts_by_reference
-- No lock: the payment's row is the lock.
SELECT attempt_id, payment_id, number, rail, reference, route, created_at, valid_until, outcome,
       code, closed_at, later, later_code, later_at
FROM payment_attempts
WHERE tenant = $1 AND rail = $2 AND reference = ANY ($3::text[]);

-- name: attempts_of
SELECT attempt_id, payment_id, number, rail, reference, route, created_at, valid_until, outcome,
       code, closed_at, later, later_code, later_at
FROM payment_attempts
WHERE tenant = $1 AND payment_id = ANY ($2::uuid[])
ORDER BY payment_id, number;

-- name: payment_of
SELECT payment_id FROM payment_attempts WHERE tenant = $1 AND attempt_id = $2;

-- name: close_attempts
UPDATE payment_attempts a
SET outcome = n.outcome, code = n.code, closed_at = n.closed_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
     AS n (attempt_id, outcome, code, closed_at)
WHERE a.tenant = $1 AND a.attempt_id = n.attempt_id;

-- name: note_later
-- What the rail said of an attempt after it was closed.
UPDATE payment_attempts a
SET later = n.later, later_code = n.later_code, later_at = n.later_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
     AS n (attempt_id, later, later_code, later_at)
WHERE a.tenant = $1 AND a.attempt_id = n.attempt_id;

-- name: put_work
-- In payment order, so that two batches wait for each other and never deadlock.
INSERT INTO payment_work (tenant, payment_id, task, due_at, tries, urgent)
SELECT $1, w.payment_id, w.task, w.due_at, w.tries, w.urgent
FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::int[], $6::boolean[])
     AS w (payment_id, task, due_at, tries, urgent)
ORDER BY w.payment_id
ON CONFLICT (tenant, payment_id, task) DO UPDATE
SET due_at = excluded.due_at, tries = excluded.tries, urgent = excluded.urgent,
    fence = payment_work.fence + 1;

-- name: drop_work
DELETE FROM payment_work w
USING unnest($2::uuid[], $3::text[]) AS n (payment_id, task)
WHERE w.tenant = $1 AND w.payment_id = n.payment_id AND w.task = n.task;

-- name: claim_work
-- Urgent first, then oldest first; rows another worker holds are skipped. A tenth of a round is kept
-- for what is not urgent, so that a flood of urgent work starves nobody. The new due_at is the
-- lease: if the worker dies, the work is due again then. MATERIALIZED: as a plain subquery a nested
-- loop may run it again for each row, and then more than the limit is claimed.
WITH urgent AS MATERIALIZED (
      SELECT payment_id FROM payment_work
      WHERE tenant = $1 AND task = $2 AND urgent AND due_at <= $3
      ORDER BY due_at
      LIMIT $4
      FOR UPDATE SKIP LOCKED),
     normal AS MATERIALIZED (
      SELECT payment_id FROM payment_work
      WHERE tenant = $1 AND task = $2 AND NOT urgent AND due_at <= $3
      ORDER BY due_at
      LIMIT greatest($4 - (SELECT count(*) FROM urgent), $4 / 10)
      FOR UPDATE SKIP LOCKED),
     due AS MATERIALIZED (
      SELECT payment_id FROM urgent UNION ALL SELECT payment_id FROM normal)
UPDATE payment_work w
SET due_at = $5, tries = w.tries + 1, fence = w.fence + 1
FROM due
WHERE w.tenant = $1 AND w.task = $2 AND w.payment_id = due.payment_id
RETURNING w.payment_id, w.due_at, w.tries, w.fence, w.urgent;

-- name: finish_work
-- Only the claim that still holds the fence may move the work on.
UPDATE payment_work w
SET due_at = n.due_at
FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[])
     AS n (payment_id, task, fence, due_at)
WHERE w.tenant = $1 AND w.payment_id = n.payment_id AND w.task = n.task AND w.fence = n.fence;

-- name: next_due
SELECT least(
    (SELECT min(due_at) FROM payment_work WHERE tenant = $1 AND task = $2 AND urgent),
    (SELECT min(due_at) FROM payment_work WHERE tenant = $1 AND task = $2 AND NOT urgent));

-- name: due_up_to
-- How much is due, counted no further than asked: the question stays cheap when much is.
SELECT count(*) FROM (
    SELECT FROM payment_work
    WHERE tenant = $1 AND task = $2 AND urgent = ANY ('{true,false}') AND due_at <= $3
    LIMIT $4) AS counted;

-- name: backlog
SELECT task, count(*), min(due_at) FROM payment_work WHERE tenant = $1 GROUP BY task;

-- name: count_states
SELECT state, count(*), sum(amount_fen)::bigint FROM payments WHERE tenant = $1 GROUP BY state;

-- name: page
-- Newest first by id. Every filter may be null.
SELECT payment_id, direction, bank_account_id, ledger_account_id, counter_account_id,
       amount_fen, currency, priority, execute_on, channel, payee_sealed, payee_index,
       payee_last4, purpose, remark, refs, caller, actor, key, digest, import_id, created_at,
       state, version, state_at, authorised_by, reason_code, reason, rail, reference, attempts,
       completed_at, settled_at, returned_at, alarm
FROM payments
WHERE tenant = $1
  AND payment_id < $2
  AND ($3::text[] IS NULL OR state = ANY ($3))
  AND ($4::uuid[] IS NULL OR bank_account_id = ANY ($4))
  AND ($5::bytea IS NULL OR payee_index = $5)
  AND ($6::text IS NULL OR payee_last4 = $6)
  AND ($7::bigint IS NULL OR amount_fen >= $7)
  AND ($8::bigint IS NULL OR amount_fen <= $8)
  AND ($9::timestamptz IS NULL OR created_at >= $9)
  AND ($10::timestamptz IS NULL OR created_at < $10)
  AND ($11::text IS NULL OR purpose ILIKE $11 OR remark ILIKE $11 OR key ILIKE $11
       OR reference ILIKE $11)
  AND ($12::uuid IS NULL OR import_id = $12)
  AND ($14::boolean IS NULL OR (alarm <> '') = $14)
ORDER BY payment_id DESC
LIMIT $13;
