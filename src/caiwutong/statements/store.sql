-- Rows of statements. Locks: an account's cursor first (one page at a time), then the ledger. The
-- matching of lines runs once per tenant at a time (an advisory lock of the transaction).

-- name: put_cursors
-- New accounts only; the rail an account is read over stays as it is.
INSERT INTO statement_cursors (tenant, bank_account_id, rail, cursor, next_at)
SELECT $1, n.bank_account_id, n.rail, '', $4
FROM unnest($2::uuid[], $3::text[]) AS n (bank_account_id, rail)
ORDER BY n.bank_account_id
ON CONFLICT DO NOTHING;

-- name: claim_cursors
-- The longest waiting first; accounts that another reader holds are skipped. The new next_at is
-- the lease.
UPDATE statement_cursors c
SET next_at = $5, fence = c.fence + 1
FROM (SELECT bank_account_id FROM statement_cursors
      WHERE tenant = $1 AND rail = ANY ($2::text[]) AND next_at <= $3
        AND bank_account_id = ANY ($6::uuid[])
      ORDER BY next_at, bank_account_id
      LIMIT $4
      FOR UPDATE SKIP LOCKED) AS due
WHERE c.tenant = $1 AND c.bank_account_id = due.bank_account_id
RETURNING c.bank_account_id, rail, cursor, read_at, next_at, fence, failures, trouble, lines,
          last_balance_fen, last_booked_at, opened_fen, matched_to;

-- name: lock_cursor
SELECT bank_account_id, rail, cursor, read_at, next_at, fence, failures, trouble, lines,
       last_balance_fen, last_booked_at, opened_fen, matched_to
FROM statement_cursors
WHERE tenant = $1 AND bank_account_id = $2
FOR NO KEY UPDATE;

-- name: cursors
SELECT bank_account_id, rail, cursor, read_at, next_at, fence, failures, trouble, lines,
       last_balance_fen, last_booked_at, opened_fen, matched_to
FROM statement_cursors
WHERE tenant = $1 AND bank_account_id = ANY ($2::uuid[]);

-- name: save_cursor
-- Under lock_cursor; only the holder of the fence writes.
UPDATE statement_cursors
SET cursor = $4, read_at = $5, next_at = $6, failures = $7, trouble = $8, lines = $9,
    last_balance_fen = $10, last_booked_at = $11, opened_fen = $12, matched_to = $13
WHERE tenant = $1 AND bank_account_id = $2 AND fence = $3;

-- name: next_read
SELECT min(next_at) FROM statement_cursors WHERE tenant = $1;

-- name: known_lines
SELECT line_id, amount_fen, balance_after_fen FROM statement_lines
WHERE tenant = $1 AND bank_account_id = $2 AND line_id = ANY ($3::text[]);

-- name: update_lines
-- Only the explanation; the guard trigger watches.
UPDATE statement_lines l
SET explained_by = n.explained_by, payment_id = n.payment_id, transfer_id = n.transfer_id,
    moved_by = n.moved_by, due_at = n.due_at, tries = n.tries
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::uuid[],
            $8::timestamptz[], $9::int[])
     AS n (bank_account_id, line_id, explained_by, payment_id, transfer_id, moved_by, due_at,
           tries)
WHERE l.tenant = $1 AND l.bank_account_id = n.bank_account_id AND l.line_id = n.line_id;

-- name: only_one
-- Until the transaction ends; false when another worker matches lines of this tenant.
SELECT pg_try_advisory_xact_lock(hashtextextended('statements.match.' || $1, 0));

-- name: due_lines
-- Oldest first, then in the bank's order.
SELECT bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, reference, counterparty_sealed, counterparty_index, counterparty_last4, words,
       rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines
WHERE tenant = $1 AND due_at <= $2
ORDER BY due_at, bank_account_id, position
LIMIT $3;

-- name: by_references
SELECT l.bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, l.reference, counterparty_sealed, counterparty_index, counterparty_last4,
       words, rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines l
JOIN (SELECT DISTINCT * FROM unnest($2::uuid[], $3::text[])
      AS n (bank_account_id, reference)) n
  ON l.bank_account_id = n.bank_account_id AND l.reference = n.reference
WHERE l.tenant = $1 AND l.reference <> ''
ORDER BY l.bank_account_id, l.position;

-- name: line
SELECT bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, reference, counterparty_sealed, counterparty_index, counterparty_last4, words,
       rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines
WHERE tenant = $1 AND bank_account_id = $2 AND line_id = $3
FOR NO KEY UPDATE;

-- name: correctable
-- The latest line of this amount that our books took by themselves and the bank has not taken back.
SELECT bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, reference, counterparty_sealed, counterparty_index, counterparty_last4, words,
       rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines l
WHERE tenant = $1 AND bank_account_id = $2 AND amount_fen = $3
  AND explained_by IN ('fee', 'interest', 'suspense') AND moved_by IS NULL
  AND NOT EXISTS (SELECT FROM statement_lines c
                  WHERE c.tenant = l.tenant AND c.bank_account_id = l.bank_account_id
                    AND c.corrects = l.line_id)
ORDER BY position DESC
LIMIT 1;

-- name: matched
SELECT transfer_id FROM statement_lines
WHERE tenant = $1 AND bank_account_id = $2 AND transfer_id = ANY ($3::uuid[]);

-- name: open_lines
-- Lines whose other side is open, oldest first.
SELECT bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, reference, counterparty_sealed, counterparty_index, counterparty_last4, words,
       rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines
WHERE tenant = $1 AND bank_account_id = $2 AND due_at IS NOT NULL
ORDER BY position;

-- name: suspense_lines
SELECT bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, reference, counterparty_sealed, counterparty_index, counterparty_last4, words,
       rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines l
WHERE tenant = $1 AND bank_account_id = $2 AND explained_by = 'suspense' AND moved_by IS NULL
  AND NOT EXISTS (SELECT FROM statement_lines c
                  WHERE c.tenant = l.tenant AND c.bank_account_id = l.bank_account_id
                    AND c.corrects = l.line_id)
ORDER BY position;

-- name: gaps
-- What came before our books began is in the opening entry, gaps and all.
SELECT coalesce(sum(gap_fen), 0)::bigint FROM statement_lines
WHERE tenant = $1 AND bank_account_id = $2 AND gap_fen <> 0 AND explained_by <> 'opening';

-- name: page
-- Newest first, below a position.
SELECT bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, reference, counterparty_sealed, counterparty_index, counterparty_last4, words,
       rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines
WHERE tenant = $1 AND bank_account_id = $2 AND position < $3
ORDER BY position DESC
LIMIT $4;

-- name: fee_lines
-- Fees of a stretch of time that the bank has not taken back, by account and in the bank's order.
SELECT bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, reference, counterparty_sealed, counterparty_index, counterparty_last4, words,
       rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines l
WHERE tenant = $1 AND explained_by = 'fee' AND booked_at >= $2 AND booked_at < $3
  AND (bank_account_id, position) > ($4, $5)
  AND NOT EXISTS (SELECT FROM statement_lines c
                  WHERE c.tenant = l.tenant AND c.bank_account_id = l.bank_account_id
                    AND c.corrects = l.line_id)
ORDER BY bank_account_id, position
LIMIT $6;

-- name: fees_under
-- All fees under these references that the bank has not taken back, whenever they were booked.
SELECT l.bank_account_id, line_id, position, booked_at, value_date, amount_fen, balance_after_fen,
       gap_fen, kind, l.reference, counterparty_sealed, counterparty_index, counterparty_last4,
       words, rail, read_at, explained_by, payment_id, transfer_id, moved_by, corrects, due_at, tries
FROM statement_lines l
JOIN (SELECT DISTINCT * FROM unnest($2::uuid[], $3::text[])
      AS n (bank_account_id, reference)) n
  ON l.bank_account_id = n.bank_account_id AND l.reference = n.reference
WHERE l.tenant = $1 AND l.reference <> '' AND l.explained_by = 'fee'
  AND NOT EXISTS (SELECT FROM statement_lines c
                  WHERE c.tenant = l.tenant AND c.bank_account_id = l.bank_account_id
                    AND c.corrects = l.line_id)
ORDER BY l.bank_account_id, l.position;

-- name: append_balances
INSERT INTO bank_balances (tenant, bank_account_id, at, balance_fen, available_fen, source, read_at)
SELECT $1, * FROM unnest($2::uuid[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::text[],
                         $7::timestamptz[])
ON CONFLICT DO NOTHING;

-- name: latest_balances
-- One probe per account.
SELECT b.bank_account_id, b.at, b.balance_fen, b.available_fen, b.source, b.read_at
FROM unnest($2::uuid[]) AS n (bank_account_id)
CROSS JOIN LATERAL (SELECT * FROM bank_balances
                    WHERE tenant = $1 AND bank_account_id = n.bank_account_id
                    ORDER BY at DESC LIMIT 1) b;
