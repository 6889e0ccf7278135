-- The ledger's rows. Locks: accounts in id order, then holds in id order; every batch takes them
-- the same way round, so batches never deadlock.

-- name: lock_accounts
-- FOR NO KEY UPDATE, in id order. $1 tenant, $2 account ids, $3 hold ids: the accounts behind the
-- holds are locked in the same sweep.
SELECT account_id, code, normal_side, currency, overdraft_fen, posted_fen, held_fen, beyond_fen,
       seq, last_at
FROM ledger_accounts
WHERE tenant = $1
  AND account_id = ANY (
      $2::uuid[] || ARRAY(SELECT h.account_id FROM ledger_holds h
                          WHERE h.tenant = $1 AND h.hold_id = ANY ($3::uuid[])))
ORDER BY account_id
FOR NO KEY UPDATE;

-- name: lock_holds
-- After the accounts, in id order.
SELECT hold_id, account_id, amount_fen, state, opened_at, expires_at, posted_fen, transfer_id,
       closed_at
FROM ledger_holds
WHERE tenant = $1 AND hold_id = ANY ($2::uuid[])
ORDER BY hold_id
FOR NO KEY UPDATE;

-- name: known_transfers
-- No lock: transfers never change. Read after the accounts are locked, so that the same transfer
-- sent twice at once is seen by the second.
SELECT transfer_id, debit, credit, amount_fen, currency, kind, at, period, subject, hold_id
FROM ledger_transfers
WHERE tenant = $1 AND transfer_id = ANY ($2::uuid[]);

-- name: closed_periods
SELECT period FROM ledger_periods WHERE tenant = $1;

-- name: update_holds
UPDATE ledger_holds h
SET state = n.state, expires_at = n.expires_at, posted_fen = n.posted_fen,
    transfer_id = n.transfer_id, closed_at = n.closed_at
FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::bigint[], $6::uuid[], $7::timestamptz[])
     AS n (hold_id, state, expires_at, posted_fen, transfer_id, closed_at)
WHERE h.tenant = $1 AND h.hold_id = n.hold_id;

-- name: update_accounts
-- The rows are locked by lock_accounts; $7 is the seq they had then, a second guard against a
-- balance written from a stale read.
UPDATE ledger_accounts a
SET posted_fen = n.posted_fen, held_fen = n.held_fen, beyond_fen = n.beyond_fen, seq = n.seq,
    last_at = n.last_at
FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::timestamptz[])
     AS n (account_id, posted_fen, held_fen, beyond_fen, seq, seq_before, last_at)
WHERE a.tenant = $1 AND a.account_id = n.account_id AND a.seq = n.seq_before;

-- name: insert_account
INSERT INTO ledger_accounts (tenant, account_id, code, name, normal_side, currency, overdraft_fen,
                             opened_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING;

-- name: accounts
-- Page by code.
SELECT account_id, code, name, normal_side, currency, overdraft_fen
FROM ledger_accounts
WHERE tenant = $1 AND code > $2
ORDER BY code
LIMIT $3;

-- name: account
SELECT account_id, code, name, normal_side, currency, overdraft_fen
FROM ledger_accounts
WHERE tenant = $1 AND (account_id = $2 OR code = $3);

-- name: balance_now
SELECT currency, posted_fen, held_fen, seq FROM ledger_accounts
WHERE tenant = $1 AND account_id = $2;

-- name: balance_as_of
-- One probe of the primary key.
SELECT currency, posted_after, held_after, seq FROM ledger_entries
WHERE tenant = $1 AND account_id = $2 AND at <= $3
ORDER BY at DESC, seq DESC
LIMIT 1;

-- name: entries
-- An account's entries, newest first, before (at, seq).
SELECT account_id, at, seq, cause, amount_fen, held_fen, posted_after, held_after, currency
FROM ledger_entries
WHERE tenant = $1 AND account_id = $2 AND (at, seq) < ($3, $4)
ORDER BY at DESC, seq DESC
LIMIT $5;

-- name: expiring
-- Holds whose time has come, oldest first. No lock: the batch that ends them locks.
SELECT hold_id FROM ledger_holds
WHERE tenant = $1 AND state = 'held' AND expires_at <= $2
ORDER BY expires_at
LIMIT $3;

-- name: trial_balance
-- The proof of promise 1: per currency, what the balances sum to (zero), what the entries sum to
-- (zero), and how many accounts differ from their last entry (none).
SELECT a.currency,
       sum(a.normal_side * a.posted_fen)::bigint AS balances_fen,
       coalesce(sum(e.total), 0)::bigint AS entries_fen,
       count(*) FILTER (WHERE a.posted_fen <> a.normal_side * coalesce(e.total, 0)
                           OR a.held_fen <> coalesce(e.held, 0)) AS accounts_off
FROM ledger_accounts a
LEFT JOIN (SELECT account_id, sum(amount_fen) AS total, sum(held_fen) AS held
           FROM ledger_entries WHERE tenant = $1 GROUP BY account_id) e USING (account_id)
WHERE a.tenant = $1
GROUP BY a.currency
ORDER BY a.currency;

-- name: close_period
INSERT INTO ledger_periods (tenant, period, closed_at, closed_by) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: set_overdraft
-- Judges and changes the row in one step. What the bank took beyond the old overdraft counts only as
-- far as it is beyond the new one too.
UPDATE ledger_accounts
SET overdraft_fen = $3,
    beyond_fen = least(beyond_fen, greatest(0, held_fen - posted_fen - $3))
WHERE tenant = $1 AND account_id = $2 AND posted_fen - held_fen >= -($3 + beyond_fen);
