-- Rows of bank accounts and payees. Reads take no lock; an update names the version it read.

-- name: bank_accounts_by_id
SELECT bank_account_id, member_unit_id, legal_entity_id, name, account_sealed, account_index,
       last_four, bank_code, bank_name, nature, access_modes, currency, state, outward,
       overdraft_fen, ledger_account_id, counter_account_id, suspense_account_id, version, created_at
FROM bank_accounts
WHERE tenant = $1 AND bank_account_id = ANY ($2::uuid[]);

-- name: bank_accounts_by_index
SELECT bank_account_id, member_unit_id, legal_entity_id, name, account_sealed, account_index,
       last_four, bank_code, bank_name, nature, access_modes, currency, state, outward,
       overdraft_fen, ledger_account_id, counter_account_id, suspense_account_id, version, created_at
FROM bank_accounts
WHERE tenant = $1 AND account_index = ANY ($2::bytea[]);

-- name: bank_accounts_page
-- In id order, after an id; $3 a member unit or NULL, $4 a rail or NULL.
SELECT bank_account_id, member_unit_id, legal_entity_id, name, account_sealed, account_index,
       last_four, bank_code, bank_name, nature, access_modes, currency, state, outward,
       overdraft_fen, ledger_account_id, counter_account_id, suspense_account_id, version, created_at
FROM bank_accounts
WHERE tenant = $1 AND bank_account_id > $2
  AND ($3::uuid IS NULL OR member_unit_id = $3)
  AND ($4::text IS NULL OR $4 = ANY (access_modes))
ORDER BY bank_account_id
LIMIT $5;

-- name: insert_bank_account
-- Waits for a transaction that inserts the same number; no row when that one stands.
INSERT INTO bank_accounts (tenant, bank_account_id, member_unit_id, legal_entity_id, name,
                           account_sealed, account_index, last_four, bank_code, bank_name, nature,
                           access_modes, currency, state, outward, overdraft_fen,
                           ledger_account_id, counter_account_id, suspense_account_id, version,
                           created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
        $21)
ON CONFLICT (tenant, account_index, bank_code) DO NOTHING;

-- name: update_bank_account
UPDATE bank_accounts
SET name = $4, bank_name = $5, nature = $6, access_modes = $7, state = $8, outward = $9,
    overdraft_fen = $10, version = version + 1
WHERE tenant = $1 AND bank_account_id = $2 AND version = $3;

-- name: payees_by_id
-- The newest version of each.
SELECT DISTINCT ON (payee_id)
       payee_id, version, name, account_sealed, account_index, last_four, bank_code, bank_name,
       state, created_at, changed_at
FROM payees
WHERE tenant = $1 AND payee_id = ANY ($2::uuid[])
ORDER BY payee_id, version DESC;

-- name: payees_by_index
-- Those whose newest version has this account.
SELECT payee_id, version, name, account_sealed, account_index, last_four, bank_code, bank_name,
       state, created_at, changed_at
FROM payees p
WHERE tenant = $1 AND account_index = $2
  AND NOT EXISTS (SELECT FROM payees q
                  WHERE q.tenant = p.tenant AND q.payee_id = p.payee_id AND q.version > p.version)
ORDER BY payee_id;

-- name: payees_page
SELECT DISTINCT ON (payee_id)
       payee_id, version, name, account_sealed, account_index, last_four, bank_code, bank_name,
       state, created_at, changed_at
FROM payees
WHERE tenant = $1 AND payee_id > $2
ORDER BY payee_id, version DESC
LIMIT $3;

-- name: payee_versions
SELECT payee_id, version, name, account_sealed, account_index, last_four, bank_code, bank_name,
       state, created_at, changed_at
FROM payees
WHERE tenant = $1 AND payee_id = $2
ORDER BY version;

-- name: insert_payee
-- No row when this version stands already: someone else changed the payee first.
INSERT INTO payees (tenant, payee_id, version, name, account_sealed, account_index, last_four,
                    bank_code, bank_name, state, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING;
