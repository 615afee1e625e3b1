-- +goose Up
-- The log: one order over every amendment and heads record, the tree over it in
-- tiles, and what was published of it. Places are given by the sequencer alone
-- (plant_auditor), in transactions that follow one another under an advisory lock:
-- whoever reads the log up to its end misses nothing that comes later.
--
-- SQLSTATE: PL006 a place in the log that is not the next one, or not of an
-- amendment that waits for it.

-- The order in which what waits is taken: introductions of keys, then everything
-- else by time, entity and seq, then what ends keys or speaks about them.
ALTER TABLE log_pending ADD COLUMN rank smallint NOT NULL GENERATED ALWAYS AS (CASE
    WHEN entity_type = 'signing_key' THEN CASE change WHEN 'introduced' THEN 0 ELSE 2 END ELSE 1 END) STORED;
CREATE INDEX log_pending_order ON log_pending (rank, recorded_at, entity_id, seq);

CREATE TABLE log_entry (
    log_index bigint NOT NULL,
    hash bytea NOT NULL, -- the entry's 32 bytes: SHA-256 of a record
    -- Of an amendment, for looking it up; none of a heads record or a fork's statement.
    entity_id uuid,
    seq bigint,
    governance_agent_id text,
    shared boolean NOT NULL, -- every tenant may read the amendment: as its opening when it was logged

    CONSTRAINT log_entry_pkey PRIMARY KEY (log_index),
    CONSTRAINT log_entry_hash_key UNIQUE (hash),
    CONSTRAINT log_entry_amendment_key UNIQUE (entity_id, seq),
    CONSTRAINT log_entry_place_key UNIQUE (log_index, hash), -- for the foreign keys of heads and log_fork
    CONSTRAINT log_entry_log_index_check CHECK (log_index BETWEEN 0 AND 9007199254740990),
    CONSTRAINT log_entry_hash_check CHECK (octet_length(hash) = 32),
    CONSTRAINT log_entry_named_check CHECK (num_nulls(entity_id, seq, governance_agent_id) IN (0, 3)),
    CONSTRAINT log_entry_shared_check CHECK (entity_id IS NOT NULL OR NOT shared)
);
-- Entities of a tenant in the order of their first place: the order of its heads.
CREATE INDEX log_entry_first ON log_entry (governance_agent_id, log_index) INCLUDE (entity_id) WHERE seq = 1;
-- What a tenant may read, in the order of the log.
CREATE INDEX log_entry_own ON log_entry (governance_agent_id, log_index);
CREATE INDEX log_entry_shared ON log_entry (log_index) WHERE shared;

-- The tree in tiles of 256 hashes (c2sp.org/tlog-tiles). The last tile of each level
-- grows until it is full; what a tile has never changes.
CREATE TABLE log_tile (
    level smallint NOT NULL,
    index bigint NOT NULL,
    data bytea NOT NULL,

    CONSTRAINT log_tile_pkey PRIMARY KEY (level, index),
    CONSTRAINT log_tile_place_check CHECK (level BETWEEN 0 AND 6 AND index >= 0),
    CONSTRAINT log_tile_data_check CHECK (octet_length(data) % 32 = 0 AND octet_length(data) BETWEEN 32 AND 8192)
);

-- Heads records: entries of the log that say what every tenant's entities were.
CREATE TABLE heads (
    log_index bigint NOT NULL,
    hash bytea NOT NULL,
    record text NOT NULL, -- the exact canonical bytes that are hashed and signed
    signature bytea NOT NULL,
    key_id text NOT NULL,
    recorded_at timestamptz NOT NULL,

    CONSTRAINT heads_pkey PRIMARY KEY (log_index),
    CONSTRAINT heads_entry_fkey FOREIGN KEY (log_index, hash) REFERENCES log_entry (log_index, hash),
    CONSTRAINT heads_key_fkey FOREIGN KEY (key_id) REFERENCES signing_key (key_id),
    CONSTRAINT heads_hash_check CHECK (hash = sha256(convert_to(record, 'UTF8'))),
    CONSTRAINT heads_signature_check CHECK (octet_length(signature) = 512),
    CONSTRAINT heads_record_check CHECK (record::jsonb ->> 'context' = 'plant/heads/v1'
        AND record::jsonb -> 'log_size' = to_jsonb(log_index) AND record::jsonb ->> 'key_id' = key_id
        AND record::jsonb ->> 'recorded_at' = to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
);
CREATE INDEX heads_key ON heads (key_id);

-- 32 random bytes without which nobody tells which row of the heads is whose.
CREATE TABLE tenant_salt (
    governance_agent_id text NOT NULL,
    salt bytea NOT NULL,

    CONSTRAINT tenant_salt_pkey PRIMARY KEY (governance_agent_id),
    CONSTRAINT tenant_salt_salt_check CHECK (octet_length(salt) = 32)
);

-- The checkpoints that this database knows to be published. The published ones
-- themselves are elsewhere, where this database's owner cannot take them back.
CREATE TABLE checkpoint (
    n bigint NOT NULL, -- its number among the published
    size bigint NOT NULL,
    root bytea NOT NULL,
    note text NOT NULL, -- the signed note, as published
    noted_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT checkpoint_pkey PRIMARY KEY (n),
    CONSTRAINT checkpoint_n_check CHECK (n BETWEEN 1 AND 999999999999),
    CONSTRAINT checkpoint_size_check CHECK (size >= 0),
    CONSTRAINT checkpoint_root_check CHECK (octet_length(root) = 32),
    CONSTRAINT checkpoint_note_check CHECK (split_part(note, E'\n', 2) = size::text
        AND split_part(note, E'\n', 3) = encode(root, 'base64'))
);

-- What a root said when the log began anew under another origin, after a restored
-- backup had lost what was published.
CREATE TABLE log_fork (
    origin text NOT NULL, -- the new one
    hash bytea NOT NULL,
    statement text NOT NULL, -- the exact canonical bytes that are hashed and signed
    signature bytea NOT NULL,

    CONSTRAINT log_fork_pkey PRIMARY KEY (origin),
    CONSTRAINT log_fork_hash_check CHECK (hash = sha256(convert_to(statement, 'UTF8'))),
    CONSTRAINT log_fork_signature_check CHECK (octet_length(signature) = 512),
    CONSTRAINT log_fork_statement_check CHECK (statement::jsonb ->> 'context' = 'plant/fork/v1'
        AND statement::jsonb ->> 'origin' = origin AND statement::jsonb ->> 'from_origin' <> origin)
);

-- An amendment ceases to wait by entering the log, and in no other way; the log has
-- no gap, and no entry that says another owner than the amendment.
-- +goose StatementBegin
CREATE FUNCTION take_places() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first bigint;
    entries bigint;
    amendments bigint;
    taken bigint;
BEGIN
    SELECT min(log_index), count(*), count(entity_id) INTO first, entries, amendments FROM added;
    IF entries = 0 THEN
        RETURN NULL;
    END IF;
    IF first <> COALESCE((SELECT max(log_index) + 1 FROM public.log_entry WHERE log_index < first), 0)
        OR first + entries - 1 <> (SELECT max(log_index) FROM added) THEN
        RAISE EXCEPTION 'not the next place in the log' USING ERRCODE = 'PL006';
    END IF;
    DELETE FROM public.log_pending p USING added a, public.amendment m
    WHERE p.hash = a.hash AND p.entity_id = a.entity_id AND p.seq = a.seq
      AND m.entity_id = a.entity_id AND m.seq = a.seq AND m.governance_agent_id = a.governance_agent_id;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken <> amendments THEN
        RAISE EXCEPTION 'an entry is of no amendment that waits for its place' USING ERRCODE = 'PL006';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION prevent_tile_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.level, NEW.index) = (OLD.level, OLD.index)
        AND octet_length(NEW.data) > octet_length(OLD.data)
        AND substr(NEW.data, 1, octet_length(OLD.data)) = OLD.data THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a tile only grows' USING ERRCODE = 'PL004';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER log_entry_places AFTER INSERT ON log_entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION take_places();
CREATE TRIGGER log_tile_audit BEFORE UPDATE OR DELETE ON log_tile
    FOR EACH ROW EXECUTE FUNCTION prevent_tile_change();
CREATE TRIGGER log_entry_audit BEFORE UPDATE OR DELETE ON log_entry
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER heads_audit BEFORE UPDATE OR DELETE ON heads
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER tenant_salt_audit BEFORE UPDATE OR DELETE ON tenant_salt
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER checkpoint_audit BEFORE UPDATE OR DELETE ON checkpoint
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER log_fork_audit BEFORE UPDATE OR DELETE ON log_fork
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');

-- What every table has: see 005 and 006.
-- +goose StatementBegin
DO $$
DECLARE
    t text;
    g text;
BEGIN
    FOREACH t IN ARRAY ARRAY['log_entry', 'log_tile', 'heads', 'tenant_salt', 'checkpoint', 'log_fork'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY owner_all ON public.%I TO plant_owner USING (true) WITH CHECK (true)', t);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', t);
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON public.%I
            FOR EACH STATEMENT EXECUTE FUNCTION public.prevent_truncate()', t || '_truncate', t);
        FOR g IN SELECT tgname FROM pg_catalog.pg_trigger
                 WHERE tgrelid = ('public.' || t)::regclass AND NOT tgisinternal LOOP
            EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER %I', t, g);
        END LOOP;
    END LOOP;
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION take_places(), prevent_tile_change() FROM PUBLIC;

-- The hashes are everybody's, and are served to everybody. Whose amendment an entry
-- is, a tenant reads as it reads the amendment.
CREATE POLICY read_own ON log_entry FOR SELECT TO plant_writer, plant_reader
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_shared ON log_entry FOR SELECT TO plant_writer, plant_reader
    USING (shared AND (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')) IS NOT NULL);
CREATE POLICY read_all ON log_entry FOR SELECT
    TO plant_embedder, plant_certifier, plant_auditor, plant_drift, plant_operator USING (true);
CREATE POLICY insert_all ON log_entry FOR INSERT TO plant_auditor WITH CHECK (true);
GRANT SELECT ON log_entry TO plant_writer, plant_reader, plant_embedder, plant_certifier, plant_auditor, plant_drift;
GRANT SELECT (log_index, hash) ON log_entry TO plant_operator;
GRANT INSERT ON log_entry TO plant_auditor;

CREATE POLICY read_all ON log_tile FOR SELECT TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader USING (true);
CREATE POLICY insert_all ON log_tile FOR INSERT TO plant_auditor WITH CHECK (true);
CREATE POLICY update_all ON log_tile FOR UPDATE TO plant_auditor USING (true);
GRANT UPDATE (data) ON log_tile TO plant_auditor;
CREATE POLICY read_all ON heads FOR SELECT TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader USING (true);
CREATE POLICY insert_all ON heads FOR INSERT TO plant_auditor WITH CHECK (true);
CREATE POLICY read_all ON checkpoint FOR SELECT TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader USING (true);
CREATE POLICY insert_all ON checkpoint FOR INSERT TO plant_auditor WITH CHECK (true);
CREATE POLICY read_all ON log_fork FOR SELECT TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader USING (true);
CREATE POLICY insert_all ON log_fork FOR INSERT TO plant_operator WITH CHECK (true);
GRANT SELECT ON log_tile, heads, checkpoint, log_fork TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader;
GRANT INSERT ON log_tile, heads, checkpoint TO plant_auditor;
GRANT INSERT ON log_fork TO plant_operator;

-- A tenant's salt is in its own bundles, the keyring's in everybody's.
CREATE POLICY read_own ON tenant_salt FOR SELECT TO plant_reader
    USING (governance_agent_id IN ('keyring', (SELECT NULLIF(current_setting('app.governance_agent_id', true), ''))));
CREATE POLICY read_all ON tenant_salt FOR SELECT TO plant_auditor USING (true);
CREATE POLICY insert_all ON tenant_salt FOR INSERT TO plant_auditor WITH CHECK (true);
GRANT SELECT ON tenant_salt TO plant_reader, plant_auditor;
GRANT INSERT ON tenant_salt TO plant_auditor;

-- The command line says how much waits.
CREATE POLICY read_waiting ON log_pending FOR SELECT TO plant_operator USING (true);
GRANT SELECT ON log_pending TO plant_operator;
