-- Rows of identity. Every kind has insert (no row when its code, number, name or key is taken),
-- find, page (in id order, after an id) and update (of the version that was read). No locks.

-- name: insert_tenant
INSERT INTO tenants (tenant, name, demo, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: find_tenant
SELECT tenant, name, demo, created_at FROM tenants WHERE tenant = $1;

-- name: tenants
SELECT tenant, name, demo, created_at FROM tenants ORDER BY tenant;

-- name: insert_enterprise_group
INSERT INTO enterprise_groups (tenant, group_id, code, name, version, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- name: find_enterprise_group
SELECT group_id, code, name, version, created_at FROM enterprise_groups
WHERE tenant = $1 AND group_id = $2;

-- name: page_enterprise_group
SELECT group_id, code, name, version, created_at FROM enterprise_groups
WHERE tenant = $1 AND group_id > $2 ORDER BY group_id LIMIT $3;

-- name: update_enterprise_group
UPDATE enterprise_groups SET name = $4, version = $3 + 1
WHERE tenant = $1 AND group_id = $2 AND version = $3;

-- name: insert_legal_entity
INSERT INTO legal_entities (tenant, legal_entity_id, group_id, code, name, uscc, version,
                            created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING;

-- name: find_legal_entity
SELECT legal_entity_id, group_id, code, name, uscc, version, created_at FROM legal_entities
WHERE tenant = $1 AND legal_entity_id = $2;

-- name: page_legal_entity
SELECT legal_entity_id, group_id, code, name, uscc, version, created_at FROM legal_entities
WHERE tenant = $1 AND legal_entity_id > $2 ORDER BY legal_entity_id LIMIT $3;

-- name: update_legal_entity
UPDATE legal_entities SET name = $4, version = $3 + 1
WHERE tenant = $1 AND legal_entity_id = $2 AND version = $3;

-- name: insert_member_unit
INSERT INTO member_units (tenant, member_unit_id, legal_entity_id, code, name, version, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING;

-- name: find_member_unit
SELECT member_unit_id, legal_entity_id, code, name, version, created_at FROM member_units
WHERE tenant = $1 AND member_unit_id = $2;

-- name: page_member_unit
SELECT member_unit_id, legal_entity_id, code, name, version, created_at FROM member_units
WHERE tenant = $1 AND member_unit_id > $2 ORDER BY member_unit_id LIMIT $3;

-- name: update_member_unit
UPDATE member_units SET name = $4, version = $3 + 1
WHERE tenant = $1 AND member_unit_id = $2 AND version = $3;

-- name: insert_accounting_entity
INSERT INTO accounting_entities (tenant, accounting_entity_id, member_unit_id, code, name, version,
                                 created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING;

-- name: find_accounting_entity
SELECT accounting_entity_id, member_unit_id, code, name, version, created_at
FROM accounting_entities
WHERE tenant = $1 AND accounting_entity_id = $2;

-- name: page_accounting_entity
SELECT accounting_entity_id, member_unit_id, code, name, version, created_at
FROM accounting_entities
WHERE tenant = $1 AND accounting_entity_id > $2 ORDER BY accounting_entity_id LIMIT $3;

-- name: update_accounting_entity
UPDATE accounting_entities SET name = $4, version = $3 + 1
WHERE tenant = $1 AND accounting_entity_id = $2 AND version = $3;

-- name: insert_person
INSERT INTO people (tenant, person_id, name, role, algorithm, public_key, state, version,
                    created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING;

-- name: find_person
SELECT person_id, name, role, algorithm, public_key, state, version, created_at FROM people
WHERE tenant = $1 AND person_id = $2;

-- name: page_person
SELECT person_id, name, role, algorithm, public_key, state, version, created_at FROM people
WHERE tenant = $1 AND person_id > $2 ORDER BY person_id LIMIT $3;

-- name: lock_people
-- Counting people and adding one is one step: whoever does it waits here for the others.
SELECT pg_advisory_xact_lock(hashtextextended('caiwutong.people.' || $1, 0));

-- name: count_people
SELECT count(*) FROM people WHERE tenant = $1;

-- name: update_person
UPDATE people SET name = $4, role = $5, state = $6, version = $3 + 1
WHERE tenant = $1 AND person_id = $2 AND version = $3;

-- name: insert_api_key
INSERT INTO api_keys (tenant, api_key_id, name, state, sealed_secret, bearer_hash, version,
                      created_at, ended_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING;

-- name: find_api_key
SELECT api_key_id, name, state, sealed_secret, bearer_hash, version, created_at, ended_at
FROM api_keys
WHERE tenant = $1 AND api_key_id = $2;

-- name: page_api_key
SELECT api_key_id, name, state, sealed_secret, bearer_hash, version, created_at, ended_at
FROM api_keys
WHERE tenant = $1 AND api_key_id > $2 ORDER BY api_key_id LIMIT $3;

-- name: update_api_key
UPDATE api_keys SET name = $4, state = $5, ended_at = $6, version = $3 + 1
WHERE tenant = $1 AND api_key_id = $2 AND version = $3;

-- name: remember_nonce
-- No row when the nonce is remembered already; a transaction that remembers the same one is
-- waited for.
INSERT INTO api_nonces (tenant, api_key_id, nonce, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: forget_nonces
DELETE FROM api_nonces WHERE tenant = $1 AND expires_at < $2;
