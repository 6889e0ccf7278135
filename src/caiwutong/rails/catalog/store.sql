-- Rows of the catalog. Lock: the tenant's version row, before its facts are read to be judged.

-- name: open_version
INSERT INTO catalog_versions (tenant, version) VALUES ($1, 0) ON CONFLICT DO NOTHING;

-- name: lock_version
-- Changes of one tenant follow each other; readers are not held up.
SELECT version FROM catalog_versions WHERE tenant = $1 FOR UPDATE;

-- name: raise_version
UPDATE catalog_versions SET version = $2, recorded_at = clock_timestamp() WHERE tenant = $1;

-- name: versions
SELECT tenant, version FROM catalog_versions;

-- name: facts_after
-- In the order of recording. Versions are raised under a lock, so none appears late below another.
SELECT body FROM catalog_facts
WHERE tenant = $1 AND version > $2 AND version <= $3
ORDER BY version, place;

-- name: insert_facts
INSERT INTO catalog_facts (tenant, version, place, fact_id, change_id, kind, rail, valid_from,
                           valid_until, body, known_at)
SELECT $1, $2, w.place, w.fact_id, $3, w.kind, w.rail, w.valid_from, w.valid_until, w.body, $4
FROM unnest($5::int[], $6::uuid[], $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[],
            $11::bytea[]) AS w (place, fact_id, kind, rail, valid_from, valid_until, body);

-- name: insert_change
INSERT INTO catalog_changes (tenant, change_id, maker, actor, reason, facts, digest, needed,
                             because, message_key, proposed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: known_messages
SELECT message_key FROM catalog_changes
WHERE tenant = $1 AND message_key = ANY ($2::text[]) AND message_key <> '';

-- name: change
SELECT c.change_id, c.maker, c.actor, c.reason, c.facts, c.digest, c.needed, c.because,
       c.message_key, c.proposed_at,
       (SELECT min(f.known_at) FROM catalog_facts f
        WHERE f.tenant = c.tenant AND f.change_id = c.change_id) AS applied_at
FROM catalog_changes c
WHERE c.tenant = $1 AND c.change_id = $2;

-- name: changes
-- Newest first, before an id.
SELECT c.change_id, c.maker, c.actor, c.reason, c.facts, c.digest, c.needed, c.because,
       c.message_key, c.proposed_at,
       (SELECT min(f.known_at) FROM catalog_facts f
        WHERE f.tenant = c.tenant AND f.change_id = c.change_id) AS applied_at
FROM catalog_changes c
WHERE c.tenant = $1 AND c.change_id < $2
ORDER BY c.change_id DESC
LIMIT $3;
