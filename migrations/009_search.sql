-- +goose Up
-- What search reads besides the vectors: an entity's words. In a table of their own,
-- so that a vector stays in its row: beside a tsvector it would be moved out of line,
-- and an exact scan would fetch each one separately.
CREATE TABLE search_text (
    entity_id uuid NOT NULL,
    lexemes tsvector NOT NULL,             -- of name and description, English
    words int NOT NULL,                    -- how many, for BM25
    entity_type text NOT NULL,
    governance_agent_id text NOT NULL,     -- entity's, and so is
    shared boolean NOT NULL DEFAULT false, -- this: set by triggers, whatever is sent

    CONSTRAINT search_text_pkey PRIMARY KEY (entity_id),
    CONSTRAINT search_text_entity_fkey FOREIGN KEY (entity_id, entity_type) REFERENCES entity (id, entity_type),
    CONSTRAINT search_text_words_check CHECK (words >= 0)
);
CREATE INDEX search_text_own ON search_text (governance_agent_id, entity_type) INCLUDE (words);
CREATE INDEX search_text_shared ON search_text (entity_type) INCLUDE (words) WHERE shared;
CREATE TRIGGER search_text_shared BEFORE INSERT OR UPDATE ON search_text
    FOR EACH ROW EXECUTE FUNCTION copy_entity_to_embedding();

-- What is archived is not searched: its vectors go, and a late one is not taken.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION copy_entity_to_embedding() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT e.shared, e.governance_agent_id INTO NEW.shared, NEW.governance_agent_id
        FROM public.entity e WHERE e.id = NEW.entity_id AND e.deleted_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE FUNCTION forget_archived() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.embedding WHERE entity_id = NEW.id;
    DELETE FROM public.search_text WHERE entity_id = NEW.id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER entity_forget AFTER UPDATE ON entity FOR EACH ROW
    WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION forget_archived();
ALTER TABLE entity ENABLE ALWAYS TRIGGER entity_forget;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION follow_shared() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.embedding SET shared = NEW.shared WHERE entity_id = NEW.id;
    UPDATE public.search_text SET shared = NEW.shared WHERE entity_id = NEW.id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- An entity's vector is the mean of two and not of length one: it is compared by
-- inner product, which the index of 004 does not serve.
CREATE INDEX embedding_shared_ip ON embedding USING hnsw ((vector::halfvec(384)) halfvec_ip_ops) WHERE shared;
DROP INDEX embedding_shared_hnsw;

-- Who waits for a vector.
CREATE INDEX entity_awaiting_embedding ON entity (id)
    WHERE embedding IS NULL AND deleted_at IS NULL AND entity_type IN ('skill', 'job_role', 'industry');

ALTER TABLE search_text ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON search_text TO plant_owner USING (true) WITH CHECK (true);
CREATE POLICY read_own ON search_text FOR SELECT TO plant_writer, plant_reader
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_shared ON search_text FOR SELECT TO plant_writer, plant_reader
    USING (shared AND (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')) IS NOT NULL);
CREATE POLICY read_all ON search_text FOR SELECT TO plant_embedder, plant_auditor, plant_drift USING (true);
CREATE POLICY insert_all ON search_text FOR INSERT TO plant_embedder, plant_drift WITH CHECK (true);
CREATE POLICY update_all ON search_text FOR UPDATE TO plant_embedder, plant_drift USING (true);
CREATE POLICY delete_all ON search_text FOR DELETE TO plant_embedder, plant_drift USING (true);

REVOKE ALL ON search_text FROM PUBLIC;
GRANT SELECT ON search_text TO plant_writer, plant_reader, plant_auditor;
GRANT SELECT, INSERT, DELETE, UPDATE (lexemes, words) ON search_text TO plant_embedder, plant_drift;
CREATE TRIGGER search_text_truncate BEFORE TRUNCATE ON search_text
    FOR EACH STATEMENT EXECUTE FUNCTION prevent_truncate();
ALTER TABLE search_text ENABLE ALWAYS TRIGGER search_text_truncate, ENABLE ALWAYS TRIGGER search_text_shared;
