-- Rows of bank files. Locks: the account's advisory lock, then files in id order; always after the
-- payments. Every query names its tenant first.

-- name: hold_account
-- Only one transaction at a time opens files of an account.
SELECT pg_advisory_xact_lock(hashtextextended('bank_files/' || $1 || '/' || $2, 0));

-- name: lock_open
SELECT file_id, bank_account_id, template, day, number, state, rows, total_fen, opened_at,
       exported_at, exported_by, file_name, digest, content_sealed, due_at, reminded_at, ended_at,
       version
FROM bank_files
WHERE tenant = $1 AND bank_account_id = $2 AND state = 'open'
FOR UPDATE;

-- name: last_number
SELECT coalesce(max(number), 0) FROM bank_files
WHERE tenant = $1 AND bank_account_id = $2 AND day = $3;

-- name: insert_file
INSERT INTO bank_files (tenant, file_id, bank_account_id, template, day, number, state, rows,
                        total_fen, opened_at, due_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: lock_files
SELECT file_id, bank_account_id, template, day, number, state, rows, total_fen, opened_at,
       exported_at, exported_by, file_name, digest, content_sealed, due_at, reminded_at, ended_at,
       version
FROM bank_files
WHERE tenant = $1 AND file_id = ANY ($2::uuid[])
ORDER BY file_id
FOR UPDATE;

-- name: get_file
SELECT file_id, bank_account_id, template, day, number, state, rows, total_fen, opened_at,
       exported_at, exported_by, file_name, digest, content_sealed, due_at, reminded_at, ended_at,
       version
FROM bank_files
WHERE tenant = $1 AND file_id = $2;

-- name: save_file
UPDATE bank_files
SET state = $3, rows = $4, total_fen = $5, exported_at = $6, exported_by = $7, file_name = $8,
    digest = $9, content_sealed = $10, due_at = $11, reminded_at = $12, ended_at = $13,
    version = $14
WHERE tenant = $1 AND file_id = $2;

-- name: page_files
-- Newest first by id. The filters may be null. Without the sealed bytes.
SELECT file_id, bank_account_id, template, day, number, state, rows, total_fen, opened_at,
       exported_at, exported_by, file_name, digest, NULL::bytea AS content_sealed, due_at,
       reminded_at, ended_at, version
FROM bank_files
WHERE tenant = $1 AND file_id < $2
  AND ($3::text[] IS NULL OR state = ANY ($3))
  AND ($4::uuid IS NULL OR bank_account_id = $4)
ORDER BY file_id DESC
LIMIT $5;

-- name: due_files
SELECT file_id, bank_account_id, template, day, number, state, rows, total_fen, opened_at,
       exported_at, exported_by, file_name, digest, content_sealed, due_at, reminded_at, ended_at,
       version
FROM bank_files
WHERE tenant = $1 AND due_at <= $2 AND state IN ('open', 'closed', 'exported')
ORDER BY file_id
LIMIT $3
FOR UPDATE SKIP LOCKED;

-- name: insert_lines
INSERT INTO bank_file_lines (tenant, file_id, line_no, payment_id, attempt_id, reference,
                             amount_fen, row_sealed, state)
SELECT $1, * FROM unnest($2::uuid[], $3::int[], $4::uuid[], $5::uuid[], $6::text[], $7::bigint[],
                         $8::bytea[], $9::text[]);

-- name: lines_of
SELECT file_id, line_no, payment_id, attempt_id, reference, amount_fen, row_sealed, state, code,
       words, said_at
FROM bank_file_lines
WHERE tenant = $1 AND file_id = $2
ORDER BY line_no;

-- name: lines_by_reference
SELECT file_id, line_no, payment_id, attempt_id, reference, amount_fen, row_sealed, state, code,
       words, said_at
FROM bank_file_lines
WHERE tenant = $1 AND reference = ANY ($2::text[]);

-- name: live_lines
SELECT l.file_id, l.line_no, l.payment_id, l.attempt_id, l.reference, l.amount_fen, l.row_sealed,
       l.state, l.code, l.words, l.said_at
FROM bank_files f
JOIN bank_file_lines l ON l.tenant = f.tenant AND l.file_id = f.file_id
WHERE f.tenant = $1 AND f.bank_account_id = $2 AND f.state = 'exported'
  AND l.state IN ('waiting', 'accepted', 'doubt')
ORDER BY l.file_id, l.line_no;

-- name: save_lines
UPDATE bank_file_lines l
SET state = n.state, code = n.code, words = n.words, said_at = n.said_at
FROM unnest($2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
     AS n (file_id, line_no, state, code, words, said_at)
WHERE l.tenant = $1 AND l.file_id = n.file_id AND l.line_no = n.line_no;

-- name: insert_release
INSERT INTO bank_file_releases (tenant, release_id, file_id, line_nos, reason, maker, actor,
                                digest, state, proposed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: release
SELECT release_id, file_id, line_nos, reason, maker, actor, digest, state, signers, proposed_at,
       ended_at
FROM bank_file_releases
WHERE tenant = $1 AND release_id = $2;

-- name: releases_of
SELECT release_id, file_id, line_nos, reason, maker, actor, digest, state, signers, proposed_at,
       ended_at
FROM bank_file_releases
WHERE tenant = $1 AND file_id = $2
ORDER BY release_id;

-- name: save_release
UPDATE bank_file_releases SET state = $3, signers = $4, ended_at = $5
WHERE tenant = $1 AND release_id = $2;

-- name: insert_result
INSERT INTO bank_file_results (tenant, result_id, file_id, digest, file_name, content_sealed, rows,
                               actor, received_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: results_of
SELECT result_id, file_id, digest, file_name, content_sealed, rows, actor, received_at
FROM bank_file_results
WHERE tenant = $1 AND file_id = $2
ORDER BY result_id;
