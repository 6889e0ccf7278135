-- Who is here (identity), which accounts at banks are ours and whom we pay (bank_accounts), and who
-- allowed what (approvals). Guards: an account number stands once per bank and tenant (blind index);
-- a mandate works only with two different people's signatures under exactly its terms; a day's usage
-- never passes its limit; a request is decided once, by enough people, none of them its maker.

CREATE TABLE enterprise_groups (
    tenant      text NOT NULL REFERENCES tenants,
    group_id    uuid NOT NULL,
    code        text NOT NULL,
    name        text NOT NULL,
    version     integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, group_id),
    UNIQUE (tenant, code)
);

CREATE TABLE legal_entities (
    tenant          text NOT NULL,
    legal_entity_id uuid NOT NULL,
    group_id        uuid NOT NULL,
    code            text NOT NULL,
    name            text NOT NULL,
    uscc            text NOT NULL CHECK (uscc ~ '^[0-9A-Z]{18}$'),
    version         integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, legal_entity_id),
    UNIQUE (tenant, code),
    UNIQUE (tenant, uscc),
    FOREIGN KEY (tenant, group_id) REFERENCES enterprise_groups
);

CREATE TABLE member_units (
    tenant          text NOT NULL,
    member_unit_id  uuid NOT NULL,
    legal_entity_id uuid NOT NULL,
    code            text NOT NULL,
    name            text NOT NULL,
    version         integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, member_unit_id),
    UNIQUE (tenant, code),
    FOREIGN KEY (tenant, legal_entity_id) REFERENCES legal_entities
);

CREATE TABLE accounting_entities (
    tenant               text NOT NULL,
    accounting_entity_id uuid NOT NULL,
    member_unit_id       uuid NOT NULL,
    code                 text NOT NULL,
    name                 text NOT NULL,
    version              integer NOT NULL DEFAULT 1,
    created_at           timestamptz NOT NULL,
    recorded_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, accounting_entity_id),
    UNIQUE (tenant, code),
    FOREIGN KEY (tenant, member_unit_id) REFERENCES member_units
);

-- Public keys only: a private key never comes near the database.
CREATE TABLE people (
    tenant      text NOT NULL REFERENCES tenants,
    person_id   uuid NOT NULL,
    name        text NOT NULL,
    role        text NOT NULL,
    algorithm   text NOT NULL CHECK (algorithm IN ('sm2', 'ed25519')),
    public_key  bytea NOT NULL CHECK (octet_length(public_key) IN (32, 65)),
    state       text NOT NULL CHECK (state IN ('proposed', 'active', 'left')),
    version     integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, person_id),
    -- One key, one person: otherwise one person could sign as two.
    UNIQUE (tenant, public_key)
);

-- The HMAC secret sealed by the vault, the bearer secret only as a hash.
CREATE TABLE api_keys (
    tenant        text NOT NULL REFERENCES tenants,
    api_key_id    uuid NOT NULL,
    name          text NOT NULL,
    state         text NOT NULL CHECK (state IN ('active', 'revoked')),
    sealed_secret bytea NOT NULL,
    bearer_hash   bytea CHECK (octet_length(bearer_hash) = 32),
    version       integer NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, api_key_id),
    UNIQUE (tenant, name),
    CHECK ((state = 'revoked') = (ended_at IS NOT NULL))
);

-- Nonces of writes that carry no idempotency key, remembered until the signature expires.
CREATE TABLE api_nonces (
    tenant     text NOT NULL,
    api_key_id uuid NOT NULL,
    nonce      text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, api_key_id, nonce)
);
CREATE INDEX api_nonces_expiring ON api_nonces (tenant, expires_at);

CREATE TABLE bank_accounts (
    tenant             text NOT NULL,
    bank_account_id    uuid NOT NULL,
    member_unit_id     uuid NOT NULL,
    legal_entity_id    uuid NOT NULL,
    name               text NOT NULL,
    account_sealed     bytea NOT NULL,
    account_index      bytea NOT NULL CHECK (octet_length(account_index) = 16),
    last_four          text NOT NULL CHECK (length(last_four) <= 4),
    bank_code          text NOT NULL CHECK (bank_code ~ '^[0-9]{12}$'),
    bank_name          text NOT NULL,
    nature             text NOT NULL
                       CHECK (nature IN ('basic', 'general', 'special', 'temporary')),
    access_modes       text[] NOT NULL,
    currency           text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state              text NOT NULL CHECK (state IN ('active', 'stopped', 'closed')),
    outward            boolean NOT NULL,
    overdraft_fen      bigint NOT NULL CHECK (overdraft_fen >= 0),
    ledger_account_id  uuid NOT NULL,
    counter_account_id uuid NOT NULL,
    suspense_account_id uuid NOT NULL,
    version            integer NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL,
    recorded_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, bank_account_id),
    UNIQUE (tenant, account_index, bank_code),
    UNIQUE (tenant, ledger_account_id)
);
CREATE INDEX bank_accounts_of_unit ON bank_accounts (tenant, member_unit_id, bank_account_id);

-- One row per version, never changed: who was paid under which data stays readable.
CREATE TABLE payees (
    tenant         text NOT NULL,
    payee_id       uuid NOT NULL,
    version        integer NOT NULL CHECK (version >= 1),
    name           text NOT NULL,
    account_sealed bytea NOT NULL,
    account_index  bytea NOT NULL CHECK (octet_length(account_index) = 16),
    last_four      text NOT NULL CHECK (length(last_four) <= 4),
    bank_code      text NOT NULL CHECK (bank_code ~ '^([0-9]{12})?$'),
    bank_name      text NOT NULL,
    state          text NOT NULL CHECK (state IN ('active', 'stopped')),
    created_at     timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, payee_id, version)
);
CREATE INDEX payees_by_account ON payees (tenant, account_index);

CREATE TABLE approval_policies (
    tenant     text NOT NULL,
    kind       text NOT NULL,
    from_fen   bigint NOT NULL CHECK (from_fen >= 0),
    needed     smallint NOT NULL CHECK (needed BETWEEN 1 AND 9),
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, kind, from_fen)
);

CREATE TABLE signing_requests (
    tenant       text NOT NULL,
    kind         text NOT NULL,
    subject_id   uuid NOT NULL,
    round        integer NOT NULL CHECK (round >= 1),
    digest       bytea NOT NULL CHECK (octet_length(digest) = 32),
    needed       smallint NOT NULL CHECK (needed BETWEEN 1 AND 9),
    maker        uuid NOT NULL,
    state        text NOT NULL CHECK (state IN ('waiting', 'decided', 'void')),
    requested_at timestamptz NOT NULL,
    ended_at     timestamptz,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, kind, subject_id, round),
    CHECK ((state = 'waiting') = (ended_at IS NULL))
);
-- One round at a time waits; also serves the list of what waits.
CREATE UNIQUE INDEX signing_requests_waiting ON signing_requests (tenant, subject_id, kind)
    WHERE state = 'waiting';

-- The key as it was stands beside the signature, so that it can be checked for ever.
CREATE TABLE signatures (
    tenant      text NOT NULL,
    kind        text NOT NULL,
    subject_id  uuid NOT NULL,
    round       integer NOT NULL,
    person_id   uuid NOT NULL,
    digest      bytea NOT NULL,
    algorithm   text NOT NULL,
    public_key  bytea NOT NULL,
    signature   bytea NOT NULL,
    signed_at   timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, kind, subject_id, round, person_id),
    -- One key signs once, whatever person it is filed under.
    UNIQUE (tenant, kind, subject_id, round, public_key)
);

CREATE TABLE mandates (
    tenant           text NOT NULL,
    mandate_id       uuid NOT NULL,
    api_key_id       uuid NOT NULL,
    bank_account_ids uuid[] NOT NULL,
    payees           bytea[],
    per_payment_fen  bigint NOT NULL CHECK (per_payment_fen > 0),
    daily_fen        bigint NOT NULL CHECK (daily_fen > 0),
    valid_from       timestamptz NOT NULL,
    valid_until      timestamptz NOT NULL CHECK (valid_until > valid_from),
    digest           bytea NOT NULL CHECK (octet_length(digest) = 32),
    maker            uuid NOT NULL,
    state            text NOT NULL CHECK (state IN ('proposed', 'active', 'revoked')),
    proposed_at      timestamptz NOT NULL,
    revoked_at       timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, mandate_id),
    CHECK ((state = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE INDEX mandates_of_key ON mandates (tenant, api_key_id);

CREATE TABLE mandate_usage (
    tenant     text NOT NULL,
    mandate_id uuid NOT NULL,
    day        date NOT NULL,
    used_fen   bigint NOT NULL CHECK (used_fen >= 0),
    limit_fen  bigint NOT NULL,
    PRIMARY KEY (tenant, mandate_id, day),
    CONSTRAINT mandate_usage_within_limit CHECK (used_fen <= limit_fen)
) WITH (fillfactor = 50);

CREATE FUNCTION signature_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked signing_requests;
BEGIN
    SELECT * INTO asked FROM signing_requests r
    WHERE (r.tenant, r.kind, r.subject_id, r.round)
        = (NEW.tenant, NEW.kind, NEW.subject_id, NEW.round);
    IF NOT FOUND OR asked.state <> 'waiting' OR asked.digest <> NEW.digest THEN
        RAISE EXCEPTION 'nobody asks for this signature' USING ERRCODE = 'check_violation';
    END IF;
    IF asked.maker = NEW.person_id THEN
        RAISE EXCEPTION 'the maker may not sign' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER signature_guard BEFORE INSERT ON signatures
    FOR EACH ROW EXECUTE FUNCTION signature_guard();

-- Terms never change; a request that ended stays ended; it is decided only by enough people.
CREATE FUNCTION signing_request_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'waiting' THEN
            RAISE EXCEPTION 'a request begins waiting' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state <> 'waiting' OR (NEW.digest, NEW.needed, NEW.maker, NEW.requested_at)
                    IS DISTINCT FROM (OLD.digest, OLD.needed, OLD.maker, OLD.requested_at) THEN
        RAISE EXCEPTION 'request % is %: it cannot change', OLD.subject_id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'decided' AND NEW.needed > (
        SELECT count(DISTINCT s.person_id) FROM signatures s
        WHERE (s.tenant, s.kind, s.subject_id, s.round, s.digest)
            = (NEW.tenant, NEW.kind, NEW.subject_id, NEW.round, NEW.digest)) THEN
        RAISE EXCEPTION 'too few people signed' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER signing_request_guard BEFORE INSERT OR UPDATE ON signing_requests
    FOR EACH ROW EXECUTE FUNCTION signing_request_guard();

-- Who was proposed may sign only after two people here signed for it; who left never comes back.
CREATE FUNCTION person_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state = 'left' OR NEW.state = 'proposed') THEN
        RAISE EXCEPTION 'person % is %', OLD.person_id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'proposed' AND NEW.state = 'active' AND 2 > (
        SELECT count(DISTINCT s.person_id)
        FROM signatures s JOIN signing_requests r USING (tenant, kind, subject_id, round)
        WHERE (s.tenant, s.kind, s.subject_id) = (NEW.tenant, 'person', NEW.person_id)
          AND r.state = 'decided') THEN
        RAISE EXCEPTION 'person % needs two different people', NEW.person_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER person_guard BEFORE UPDATE ON people
    FOR EACH ROW EXECUTE FUNCTION person_guard();

-- A mandate is what two different people signed, and ends for good.
CREATE FUNCTION mandate_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (
        OLD.state = 'revoked' OR NEW.state = 'proposed'
        OR (NEW.api_key_id, NEW.bank_account_ids, NEW.payees, NEW.per_payment_fen, NEW.daily_fen,
            NEW.valid_from, NEW.valid_until, NEW.digest, NEW.maker, NEW.proposed_at)
           IS DISTINCT FROM
           (OLD.api_key_id, OLD.bank_account_ids, OLD.payees, OLD.per_payment_fen, OLD.daily_fen,
            OLD.valid_from, OLD.valid_until, OLD.digest, OLD.maker, OLD.proposed_at)) THEN
        RAISE EXCEPTION 'mandate % is %: it cannot change so', OLD.mandate_id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'active' AND 2 > (
        SELECT count(DISTINCT s.person_id)
        FROM signatures s JOIN signing_requests r USING (tenant, kind, subject_id, round)
        WHERE (s.tenant, s.kind, s.subject_id, s.digest)
            = (NEW.tenant, 'mandate', NEW.mandate_id, NEW.digest)
          AND r.state = 'decided') THEN
        RAISE EXCEPTION 'mandate % needs two different people', NEW.mandate_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER mandate_guard BEFORE INSERT OR UPDATE ON mandates
    FOR EACH ROW EXECUTE FUNCTION mandate_guard();

-- A day's limit is the mandate's own and never changes, and only a live mandate gets a day.
CREATE FUNCTION mandate_usage_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.limit_fen <> OLD.limit_fen THEN
            RAISE EXCEPTION 'a day''s limit cannot change' USING ERRCODE = 'restrict_violation';
        END IF;
    ELSIF NOT EXISTS (SELECT FROM mandates m
                      WHERE (m.tenant, m.mandate_id, m.daily_fen, m.state)
                          = (NEW.tenant, NEW.mandate_id, NEW.limit_fen, 'active')) THEN
        RAISE EXCEPTION 'no active mandate has this limit' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER mandate_usage_guard BEFORE INSERT OR UPDATE OF limit_fen ON mandate_usage
    FOR EACH ROW EXECUTE FUNCTION mandate_usage_guard();

CREATE TRIGGER signatures_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON signatures
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payees_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payees
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER signing_requests_kept BEFORE DELETE OR TRUNCATE ON signing_requests
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER mandates_kept BEFORE DELETE OR TRUNCATE ON mandates
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER mandate_usage_kept BEFORE DELETE OR TRUNCATE ON mandate_usage
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_accounts_kept BEFORE DELETE OR TRUNCATE ON bank_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A revoked key and a closed account stay so.
CREATE FUNCTION refuse_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('revoked', 'closed') AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'a row of % that is % stays so', TG_TABLE_NAME, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER api_keys_final BEFORE UPDATE OF state ON api_keys
    FOR EACH ROW EXECUTE FUNCTION refuse_reopening();
CREATE TRIGGER bank_accounts_final BEFORE UPDATE OF state ON bank_accounts
    FOR EACH ROW EXECUTE FUNCTION refuse_reopening();

-- The application may change only what has a reason to change: never a person's key, an account's
-- number, a mandate's terms.
REVOKE UPDATE, DELETE, TRUNCATE ON tenants, enterprise_groups, legal_entities, member_units,
    accounting_entities, people, api_keys, bank_accounts, payees, signing_requests, signatures,
    mandates, mandate_usage FROM caiwutong_app;
GRANT UPDATE (name, version) ON enterprise_groups, legal_entities, member_units,
    accounting_entities TO caiwutong_app;
GRANT UPDATE (name, role, state, version) ON people TO caiwutong_app;
GRANT UPDATE (name, state, ended_at, version) ON api_keys TO caiwutong_app;
GRANT UPDATE (name, bank_name, nature, access_modes, state, outward, overdraft_fen, version)
    ON bank_accounts TO caiwutong_app;
GRANT UPDATE (state, ended_at) ON signing_requests TO caiwutong_app;
GRANT UPDATE (state, revoked_at) ON mandates TO caiwutong_app;
GRANT UPDATE (used_fen) ON mandate_usage TO caiwutong_app;
