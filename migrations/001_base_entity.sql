-- +goose Up
-- What every entity has in common, and the history of what was said about it.
-- Runs as plant_owner. What must never change is held by constraints and triggers
-- here; who may do what, by policies and privileges in 005 and 006.
--
-- SQLSTATEs of our own (class PL): PL001 principal absent, disabled or of another
-- tenant; PL002 reference not visible; PL003 key not in force or may not sign this;
-- PL004 append-only; PL005 clock skew.

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- The newest state of every entity, in columns for querying. The truth is the
-- signed history: an audit compares the two.
CREATE TABLE entity (
    -- 1 identity
    id uuid NOT NULL,
    entity_type text NOT NULL,
    external_id text,
    name text,
    name_key text COLLATE "C", -- made in Go: NFC(fold(NFC(trim(name))))
    -- 2 lifecycle
    created_at timestamptz NOT NULL, -- recorded_at of amendment 1
    updated_at timestamptz NOT NULL, -- recorded_at of the newest amendment
    deleted_at timestamptz,
    status text NOT NULL,
    status_reason text,
    visibility text NOT NULL DEFAULT 'private',
    -- 3 versioning
    version bigint NOT NULL,         -- seq of the newest amendment
    version_hash bytea NOT NULL,     -- its hash
    etag_hash bytea NOT NULL,        -- hash of the newest amendment that is not `embedded`
    superseded_by uuid,
    erased_seqs bigint[],
    reattests text[],
    -- 4 constitutional alignment
    constitution_hash bytea NOT NULL,
    amendment_alignment text NOT NULL DEFAULT 'aligned',
    drift_detector jsonb,
    -- 5 audit trail
    genesis_certification jsonb,
    embedding jsonb,                 -- model id and hashes; the vector is in embedding
    -- 6 metadata
    tags text[] NOT NULL DEFAULT '{}',
    custom_attributes jsonb NOT NULL DEFAULT '{}',
    governance_notes text,
    -- 7 relationships
    governance_agent_id text NOT NULL,
    parent_id uuid,

    -- Another tenant may see the entity as it is now. Keys are for everybody, always.
    shared boolean NOT NULL GENERATED ALWAYS AS (
        visibility = 'public' AND status IN ('certified', 'active', 'deprecated', 'retired', 'revoked')) STORED,

    CONSTRAINT entity_pkey PRIMARY KEY (id),
    -- For foreign keys. Not with the owner: beside the lists' indexes, which begin with
    -- it, a check planned on a small table could walk the whole tenant from then on.
    CONSTRAINT entity_kind_key UNIQUE (id, entity_type),
    CONSTRAINT entity_external_id_taken UNIQUE (governance_agent_id, external_id),
    CONSTRAINT entity_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES entity (id),
    CONSTRAINT entity_superseded_by_fkey FOREIGN KEY (superseded_by) REFERENCES entity (id),
    CONSTRAINT entity_entity_type_check CHECK (
        entity_type IN ('skill', 'job_role', 'team', 'agent', 'industry', 'signing_key', 'constitution')),
    CONSTRAINT entity_governance_agent_id_check CHECK (governance_agent_id ~ '^[a-z0-9-]{1,63}$'),
    CONSTRAINT entity_keyring_check CHECK ((entity_type = 'signing_key') = (governance_agent_id = 'keyring')),
    CONSTRAINT entity_status_check CHECK (CASE entity_type
        WHEN 'signing_key' THEN status IN ('active', 'retired', 'revoked')
        WHEN 'constitution' THEN status ~ '^[a-z_]{1,32}$'
        ELSE status IN ('draft', 'under_review', 'certified', 'active', 'deprecated', 'archived') END),
    CONSTRAINT entity_visibility_check CHECK (
        visibility = 'public' OR (visibility = 'private' AND entity_type <> 'signing_key')),
    CONSTRAINT entity_alignment_check CHECK (amendment_alignment IN ('aligned', 'drifted', 'requires_review')),
    CONSTRAINT entity_archived_check CHECK ((status = 'archived') = (deleted_at IS NOT NULL)),
    CONSTRAINT entity_name_check CHECK ((name IS NULL) = (name_key IS NULL)),
    CONSTRAINT entity_external_id_check CHECK (external_id <> ''),
    CONSTRAINT entity_parent_id_check CHECK (parent_id <> id),
    CONSTRAINT entity_superseded_by_check CHECK (superseded_by <> id),
    CONSTRAINT entity_custom_attributes_check CHECK (jsonb_typeof(custom_attributes) = 'object'),
    CONSTRAINT entity_version_check CHECK (version >= 1),
    CONSTRAINT entity_hash_check CHECK (
        octet_length(version_hash) = 32 AND octet_length(etag_hash) = 32 AND octet_length(constitution_hash) = 32)
);

-- One living entity of a kind and governance agent has a name. Also serves lists
-- in order of name and filters by its prefix (as a range: LIKE is not leakproof,
-- so under row-level security it cannot use an index).
CREATE UNIQUE INDEX entity_name_taken ON entity (governance_agent_id, entity_type, name_key) WHERE deleted_at IS NULL;

-- Lists within a tenant, by keyset. There is no index on tags: array containment
-- is not leakproof either, so row-level security would keep the planner from it;
-- the filter runs over one tenant's rows of one kind.
CREATE INDEX entity_created ON entity (governance_agent_id, entity_type, created_at, id);
CREATE INDEX entity_updated ON entity (governance_agent_id, entity_type, updated_at, id);
CREATE INDEX entity_status ON entity (governance_agent_id, entity_type, status, created_at, id);
CREATE INDEX entity_unaligned ON entity (governance_agent_id, entity_type, amendment_alignment, created_at, id)
    WHERE amendment_alignment <> 'aligned';
-- The same for what others share: a list is two branches, own and shared, merged.
CREATE INDEX entity_shared_created ON entity (entity_type, created_at, id) WHERE shared;
CREATE INDEX entity_shared_updated ON entity (entity_type, updated_at, id) WHERE shared;
CREATE INDEX entity_shared_name ON entity (entity_type, name_key, id) WHERE shared;
CREATE INDEX entity_parent ON entity (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX entity_superseded ON entity (superseded_by) WHERE superseded_by IS NOT NULL;

-- One signature over a Merkle root of up to 512 records' hashes.
CREATE TABLE signature_batch (
    id uuid NOT NULL,
    key_id text NOT NULL,
    statement text NOT NULL, -- the exact canonical bytes that are signed
    signature bytea NOT NULL,
    size int NOT NULL,

    CONSTRAINT signature_batch_pkey PRIMARY KEY (id),
    CONSTRAINT signature_batch_key UNIQUE (id, key_id), -- for the foreign key of amendment
    CONSTRAINT signature_batch_size_check CHECK (size BETWEEN 1 AND 512),
    CONSTRAINT signature_batch_signature_check CHECK (octet_length(signature) = 512),
    CONSTRAINT signature_batch_statement_check CHECK (
        statement::jsonb ->> 'key_id' = key_id AND statement::jsonb -> 'size' = to_jsonb(size)
        AND statement::jsonb ->> 'context' = 'plant/batch/v1')
);

-- The history: insert only. Its columns repeat the record's members for querying;
-- amendment_record_check holds that they agree.
CREATE TABLE amendment (
    entity_id uuid NOT NULL,
    seq bigint NOT NULL,
    prev_seq bigint GENERATED ALWAYS AS (CASE WHEN seq > 1 THEN seq - 1 END) STORED,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    record text NOT NULL, -- the exact canonical bytes that are hashed and signed
    entity_type text NOT NULL,
    governance_agent_id text NOT NULL,
    change text NOT NULL,
    breaking boolean NOT NULL,
    author text NOT NULL,
    recorded_at timestamptz NOT NULL,
    state_hash bytea NOT NULL,
    constitution bytea NOT NULL,
    key_id text NOT NULL,
    algorithm text NOT NULL,
    signature bytea,      -- either this, or a place in a batch
    batch_id uuid,
    batch_index int,
    batch_path bytea,     -- the inclusion path, 32 bytes a step, from the leaf up

    CONSTRAINT amendment_pkey PRIMARY KEY (entity_id, seq), -- decides races: the loser gets 23505 here
    CONSTRAINT amendment_link_key UNIQUE (entity_id, seq, hash),
    CONSTRAINT amendment_hash_key UNIQUE (hash),
    CONSTRAINT amendment_batch_index_key UNIQUE (batch_id, batch_index),
    -- No gap and no fork: seq n names the hash of seq n-1.
    CONSTRAINT amendment_prev_fkey FOREIGN KEY (entity_id, prev_seq, prev_hash)
        REFERENCES amendment (entity_id, seq, hash),
    CONSTRAINT amendment_entity_fkey FOREIGN KEY (entity_id, entity_type) REFERENCES entity (id, entity_type),
    CONSTRAINT amendment_batch_fkey FOREIGN KEY (batch_id, key_id) REFERENCES signature_batch (id, key_id),
    CONSTRAINT amendment_seq_check CHECK (seq BETWEEN 1 AND 9007199254740991),
    CONSTRAINT amendment_first_check CHECK ((seq = 1) = (prev_hash = decode(repeat('00', 32), 'hex'))),
    CONSTRAINT amendment_hash_check CHECK (hash = sha256(convert_to(record, 'UTF8'))),
    CONSTRAINT amendment_record_check CHECK (record::jsonb - 'origin' = jsonb_build_object(
        'algorithm', algorithm, 'author', author, 'breaking', breaking, 'change', change,
        'constitution', encode(constitution, 'hex'), 'context', 'plant/amendment/v1', 'entity_id', entity_id,
        'entity_type', entity_type, 'governance_agent_id', governance_agent_id, 'key_id', key_id,
        'prev_hash', encode(prev_hash, 'hex'),
        'recorded_at', to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'seq', seq, 'state_hash', encode(state_hash, 'hex'))),
    CONSTRAINT amendment_author_check CHECK (author ~ '^[a-z0-9-]{1,63}/[^/[:space:]]+$'),
    CONSTRAINT amendment_change_check CHECK (CASE entity_type
        WHEN 'signing_key' THEN change IN ('introduced', 'retired', 'revoked', 'reattested')
        WHEN 'constitution' THEN change IN ('proposed', 'judged', 'enacted', 'reattested')
        ELSE change IN ('created', 'evolved', 'embedded', 'moved', 'certified', 'rejected', 'assigned', 'drifted',
            'reaffirmed', 'decertified', 'reattested', 'erased') END
        AND (seq = 1) = (change IN ('created', 'introduced', 'proposed'))),
    CONSTRAINT amendment_length_check CHECK (octet_length(hash) = 32 AND octet_length(prev_hash) = 32
        AND octet_length(state_hash) = 32 AND octet_length(constitution) = 32),
    CONSTRAINT amendment_signature_check CHECK (CASE algorithm
        WHEN 'RSA4096-PSS-SHA256' THEN num_nulls(batch_id, batch_index, batch_path) = 3
            AND signature IS NOT NULL AND octet_length(signature) = 512
        WHEN 'RSA4096-PSS-SHA256-BATCH' THEN num_nulls(batch_id, batch_index, batch_path) = 0
            AND signature IS NULL AND batch_index BETWEEN 0 AND 511
            AND octet_length(batch_path) % 32 = 0 AND octet_length(batch_path) <= 9 * 32
        ELSE false END)
);

-- The head is the end of the chain. Deferred: entity is written before its amendment.
ALTER TABLE entity ADD CONSTRAINT entity_head_fkey FOREIGN KEY (id, version, version_hash)
    REFERENCES amendment (entity_id, seq, hash) DEFERRABLE INITIALLY DEFERRED;

-- What a state hash commits to. Kept apart from the record, so that it can be
-- erased without breaking the chain.
CREATE TABLE opening (
    entity_id uuid NOT NULL,
    seq bigint NOT NULL,
    salt bytea NOT NULL,
    state text NOT NULL, -- the exact canonical bytes
    -- Another tenant may read this state: decided here, from the state, by nobody's word.
    shared boolean NOT NULL GENERATED ALWAYS AS (COALESCE(
        state::jsonb ->> 'visibility' = 'public'
        AND state::jsonb ->> 'status' IN ('certified', 'active', 'deprecated', 'retired', 'revoked'), false)) STORED,

    CONSTRAINT opening_pkey PRIMARY KEY (entity_id, seq),
    CONSTRAINT opening_amendment_fkey FOREIGN KEY (entity_id, seq) REFERENCES amendment (entity_id, seq),
    CONSTRAINT opening_salt_check CHECK (octet_length(salt) = 32),
    CONSTRAINT opening_state_check CHECK (jsonb_typeof(state::jsonb) = 'object')
);
CREATE INDEX opening_shared ON opening (entity_id, seq) WHERE shared;

-- Who may call. Made by the operator, never over HTTP.
CREATE TABLE principal (
    id uuid NOT NULL,
    governance_agent_id text NOT NULL,
    name text NOT NULL,
    authorities text[] NOT NULL DEFAULT '{}',
    platform_authorities text[] NOT NULL DEFAULT '{}', -- held over every tenant's entities
    secret_hash text,                                  -- bcrypt; none: cannot get a token
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT principal_pkey PRIMARY KEY (id),
    CONSTRAINT principal_name_taken UNIQUE (governance_agent_id, name),
    CONSTRAINT principal_governance_agent_id_check CHECK (
        governance_agent_id ~ '^[a-z0-9-]{1,63}$' AND governance_agent_id NOT IN ('keyring', 'system')),
    CONSTRAINT principal_name_check CHECK (name <> ''),
    CONSTRAINT principal_authorities_check CHECK (authorities <@ ARRAY[
        'author', 'genesis', 'architect', 'guardian', 'governor', 'auditor', 'operator']),
    CONSTRAINT principal_platform_authorities_check CHECK (platform_authorities <@ ARRAY[
        'genesis', 'architect', 'guardian', 'governor', 'auditor', 'operator']),
    CONSTRAINT principal_secret_hash_check CHECK (secret_hash ~ '^\$2[aby]\$')
);

-- A write that was done, so that its repeat does nothing. The tenant is taken from
-- the transaction's setting: callers do not name it.
CREATE TABLE idempotency_key (
    principal_id uuid NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL, -- SHA-256 of the request's body
    entity_id uuid,           -- what was written
    seq bigint,
    items jsonb,              -- of a batch: what was written, per item
    governance_agent_id text NOT NULL DEFAULT NULLIF(current_setting('app.governance_agent_id', true), ''),
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT idempotency_key_used PRIMARY KEY (principal_id, route, key),
    CONSTRAINT idempotency_key_body_hash_check CHECK (octet_length(body_hash) = 32),
    CONSTRAINT idempotency_key_written_check CHECK ((entity_id IS NULL) = (seq IS NULL))
);
CREATE INDEX idempotency_key_created ON idempotency_key (created_at);

-- Events to announce, written with the change and deleted when acknowledged.
CREATE TABLE outbox (
    id uuid NOT NULL,        -- ce-id, UUIDv7
    type text NOT NULL,      -- ce-type
    subject uuid NOT NULL,   -- ce-subject
    governance_agent_id text NOT NULL,
    request_id text,
    traceparent text,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    -- Until then it is its writer's to send; from then on the sweeper's.
    available_at timestamptz NOT NULL DEFAULT now() + interval '30 s',

    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_type_check CHECK (type ~ '^plant\.[a-z_]+\.[a-z_]+$'),
    CONSTRAINT outbox_attempts_check CHECK (attempts >= 0)
);
CREATE INDEX outbox_available ON outbox (available_at, id);

-- Events whose effect was done, written with the effect.
CREATE TABLE inbox (
    consumer text NOT NULL,
    ce_id uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT inbox_pkey PRIMARY KEY (consumer, ce_id)
);
CREATE INDEX inbox_received ON inbox (received_at);

-- Amendments that have no place in the log yet. Only the trigger of amendment
-- writes here, so a late commit cannot vanish.
CREATE TABLE log_pending (
    hash bytea NOT NULL,
    entity_id uuid NOT NULL,
    seq bigint NOT NULL,
    entity_type text NOT NULL,
    change text NOT NULL,
    recorded_at timestamptz NOT NULL,

    CONSTRAINT log_pending_pkey PRIMARY KEY (hash)
);

-- Every rule set that was ever in force, by the hash that records name.
CREATE TABLE constitution (
    sha256 bytea NOT NULL,
    document text NOT NULL, -- the exact canonical bytes
    version text NOT NULL,
    enacted_at timestamptz,

    CONSTRAINT constitution_pkey PRIMARY KEY (sha256),
    CONSTRAINT constitution_sha256_check CHECK (sha256 = sha256(convert_to(document, 'UTF8')))
);

-- Immutability. ENABLE ALWAYS: also where session_replication_role is replica.
-- The argument says what a table's rows are: head (entity: advances by one), kind
-- (its facts may change, its identity not), key (only invalid_from may change),
-- history (never changes).
-- +goose StatementBegin
CREATE FUNCTION prevent_audit_column_updates() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.version = 1 THEN RETURN NEW; END IF;
        RAISE EXCEPTION 'an entity begins at version 1' USING ERRCODE = 'PL004';
    ELSIF TG_OP = 'UPDATE' AND TG_ARGV[0] = 'head' THEN
        IF (NEW.id, NEW.entity_type, NEW.governance_agent_id, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.entity_type, OLD.governance_agent_id, OLD.created_at) THEN
            RAISE EXCEPTION 'id, type, owner and creation of an entity never change' USING ERRCODE = 'PL004';
        ELSIF NEW.version <> OLD.version + 1 THEN
            RAISE EXCEPTION 'version % cannot follow %', NEW.version, OLD.version USING ERRCODE = 'PL004';
        END IF;
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE' AND TG_ARGV[0] = 'kind' THEN
        IF NEW.id = OLD.id AND NEW.governance_agent_id = OLD.governance_agent_id THEN RETURN NEW; END IF;
    ELSIF TG_OP = 'UPDATE' AND TG_ARGV[0] = 'key' THEN
        IF (NEW.id, NEW.key_id, NEW.spki, NEW.use, NEW.may_sign) = (OLD.id, OLD.key_id, OLD.spki, OLD.use, OLD.may_sign) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% of % is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'PL004';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER entity_audit BEFORE INSERT OR UPDATE OR DELETE ON entity
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('head');
CREATE TRIGGER amendment_audit BEFORE UPDATE OR DELETE ON amendment
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER signature_batch_audit BEFORE UPDATE OR DELETE ON signature_batch
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER constitution_audit BEFORE UPDATE OR DELETE ON constitution
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER opening_audit BEFORE UPDATE ON opening
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');

-- An opening goes only when a later `erased` amendment of its entity names it, and
-- never if it is a signing key's or itself names amendments: whoever deletes, the
-- verifier's rule holds.
-- +goose StatementBegin
CREATE FUNCTION prevent_unrecorded_erasure() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT OLD.state::jsonb ?| ARRAY['erased_seqs', 'reattests', 'invalid_from', 'spki'] AND EXISTS (
        SELECT FROM public.amendment a JOIN public.opening o USING (entity_id, seq)
        WHERE a.entity_id = OLD.entity_id AND a.seq > OLD.seq AND a.change = 'erased'
          AND o.state::jsonb -> 'erased_seqs' @> to_jsonb(OLD.seq)) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'no erased amendment names this opening' USING ERRCODE = 'PL004';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER opening_erasure BEFORE DELETE ON opening
    FOR EACH ROW EXECUTE FUNCTION prevent_unrecorded_erasure();

-- The clock of whoever signs may be 10 s off, time never runs backwards along a chain,
-- and the owner is the entity's. What is recorded waits for its place in the log.
-- +goose StatementBegin
CREATE FUNCTION note_amendments() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM added a LEFT JOIN public.amendment p ON p.entity_id = a.entity_id AND p.seq = a.prev_seq
               WHERE a.recorded_at NOT BETWEEN clock_timestamp() - interval '10 s' AND clock_timestamp() + interval '10 s'
                  OR a.recorded_at < p.recorded_at) THEN
        RAISE EXCEPTION 'recorded_at is more than 10 s off, or before its predecessor' USING ERRCODE = 'PL005';
    END IF;
    IF EXISTS (SELECT FROM added a JOIN public.entity e ON e.id = a.entity_id
               WHERE e.governance_agent_id <> a.governance_agent_id) THEN
        RAISE EXCEPTION 'the entity has another owner' USING ERRCODE = 'foreign_key_violation',
            TABLE = 'amendment', CONSTRAINT = 'amendment_owner_fkey';
    END IF;
    INSERT INTO public.log_pending SELECT hash, entity_id, seq, entity_type, change, recorded_at FROM added;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER amendment_noted AFTER INSERT ON amendment REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION note_amendments();

-- An opening opens its amendment, or it is not stored.
-- +goose StatementBegin
CREATE FUNCTION check_openings() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM added o JOIN public.amendment a USING (entity_id, seq)
               WHERE a.state_hash <> sha256('plant/state/v1\012'::bytea || o.salt || convert_to(o.state, 'UTF8'))) THEN
        RAISE EXCEPTION 'salt and state do not open the amendment'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'opening_state_hash_check', TABLE = 'opening';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER opening_checked AFTER INSERT ON opening REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_openings();
