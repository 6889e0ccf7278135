-- The rows of imports. One import is worked on by one runner at a time: claim raises the fence, and
-- every later write names it. No locks beyond the one row.

-- name: insert_import
-- Nothing happens when the file is here already.
INSERT INTO imports (tenant, import_id, digest, file_name, sheet, size_bytes, caller, actor,
                     begun_on, created_at, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'received')
ON CONFLICT DO NOTHING;

-- name: insert_file
INSERT INTO import_files (tenant, import_id, part, body)
SELECT $1, $2, n.part, n.body FROM unnest($3::integer[], $4::bytea[]) AS n (part, body);

-- name: file
SELECT body FROM import_files WHERE tenant = $1 AND import_id = $2 ORDER BY part;

-- name: import
SELECT import_id, digest, file_name, sheet, size_bytes, caller, actor, begun_on, created_at, state,
       fence, lease_until, report, rows_total, rows_done, applied, applied_fen, awaiting, already,
       not_applied, left_out, run_started_at, run_from, updated_at, finished_at, error, skip_bad,
       allow_duplicates
FROM imports
WHERE tenant = $1 AND import_id = $2;

-- name: import_by_digest
SELECT import_id FROM imports WHERE tenant = $1 AND digest = $2;

-- name: imports
-- Newest first, before an id.
SELECT import_id, digest, file_name, sheet, size_bytes, caller, actor, begun_on, created_at, state,
       fence, lease_until, report, rows_total, rows_done, applied, applied_fen, awaiting, already,
       not_applied, left_out, run_started_at, run_from, updated_at, finished_at, error, skip_bad,
       allow_duplicates
FROM imports
WHERE tenant = $1 AND import_id < $2
ORDER BY import_id DESC
LIMIT $3;

-- name: claim
-- Take the import to work on it; nothing when another runner's lease lasts.
UPDATE imports SET fence = fence + 1, lease_until = $4
WHERE tenant = $1 AND import_id = $2 AND (lease_until IS NULL OR lease_until <= $3)
RETURNING fence;

-- name: save
-- The progress of a claimed import; no row when the fence was lost.
UPDATE imports
SET state = $4, lease_until = $5, report = $6, rows_total = $7, rows_done = $8, applied = $9,
    applied_fen = $10, awaiting = $11, already = $12, not_applied = $13, left_out = $14,
    run_started_at = $15, run_from = $16, updated_at = $17, finished_at = $18, error = $19,
    skip_bad = $20, allow_duplicates = $21
WHERE tenant = $1 AND import_id = $2 AND fence = $3;

-- name: clear_rows
DELETE FROM import_rows WHERE tenant = $1 AND import_id = $2;

-- name: put_rows
-- Written again when a chunk is done again: the later word stands.
INSERT INTO import_rows (tenant, import_id, row_no, status, problems, key, payment_id)
SELECT $1, $2, n.row_no, n.status, n.problems, n.key, n.payment_id
FROM unnest($3::integer[], $4::text[], $5::bytea[], $6::text[], $7::uuid[])
     AS n (row_no, status, problems, key, payment_id)
ON CONFLICT (tenant, import_id, row_no) DO UPDATE
SET status = excluded.status, problems = excluded.problems, key = excluded.key,
    payment_id = excluded.payment_id;

-- name: rows
SELECT row_no, status, problems, key, payment_id
FROM import_rows
WHERE tenant = $1 AND import_id = $2 AND row_no > $3
ORDER BY row_no
LIMIT $4;

-- name: clear_chunks
DELETE FROM import_chunks WHERE tenant = $1 AND import_id = $2;

-- name: put_chunk
INSERT INTO import_chunks (tenant, import_id, chunk_no, row_nos, payment_ids)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, import_id, chunk_no) DO UPDATE
SET row_nos = excluded.row_nos, payment_ids = excluded.payment_ids;

-- name: chunks
SELECT chunk_no, row_nos, payment_ids
FROM import_chunks
WHERE tenant = $1 AND import_id = $2 AND chunk_no > $3
ORDER BY chunk_no
LIMIT $4;

-- name: unfinished
-- Imports whose runner is gone: for a worker that starts.
SELECT import_id FROM imports
WHERE tenant = $1 AND state IN ('checking', 'applying')
  AND (lease_until IS NULL OR lease_until <= $2)
ORDER BY import_id;
