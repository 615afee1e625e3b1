-- +goose Up
-- An entity's vector: derived, may be made again at any time; its hash and its
-- text's are in the signed state. owner and shared are copies, so that a search
-- needs no join before it has found.
CREATE TABLE embedding (
    entity_id uuid NOT NULL,
    model_id text NOT NULL,
    vector vector(384) NOT NULL,
    text_sha256 bytea NOT NULL,
    vector_sha256 bytea NOT NULL, -- of the float32 values, little-endian
    entity_type text NOT NULL,
    governance_agent_id text NOT NULL,     -- entity's, and so is
    shared boolean NOT NULL DEFAULT false, -- this: set by triggers, whatever is sent

    CONSTRAINT embedding_pkey PRIMARY KEY (entity_id, model_id),
    CONSTRAINT embedding_entity_fkey FOREIGN KEY (entity_id, entity_type) REFERENCES entity (id, entity_type),
    CONSTRAINT embedding_hash_check CHECK (octet_length(text_sha256) = 32 AND octet_length(vector_sha256) = 32)
);

-- Two branches, two ways (measured, 384 dimensions):
-- * A tenant's own vectors: exact, over this index. 1.1 ms of 100,000 rows and 24 ms
--   of a million for a tenant that has 1 % of them, recall 1. An approximate index
--   filters after its scan: under a 1 % tenant its default plan found fewer than ten
--   rows in every query, recall .04.
-- * What everybody shares: HNSW over the shared rows alone, so that it need not
--   filter. 1.6 ms at a million, recall .94 at ef_search 100; IVFFlat with lists=100
--   takes 153 ms for that recall, and built on an empty table has no useful lists.
--   halfvec needs 1.1 GB for a million, vector 1.9 GB, and finds no worse.
-- A query uses it only if it says what the index says:
--   WHERE shared ORDER BY vector::halfvec(384) <=> $1::halfvec(384)
CREATE INDEX embedding_own ON embedding (governance_agent_id, entity_type);
CREATE INDEX embedding_shared_hnsw ON embedding USING hnsw ((vector::halfvec(384)) halfvec_cosine_ops) WHERE shared;

-- The lock makes a change of the entity and a new vector wait for each other.
-- +goose StatementBegin
CREATE FUNCTION copy_entity_to_embedding() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT e.shared, e.governance_agent_id INTO NEW.shared, NEW.governance_agent_id
        FROM public.entity e WHERE e.id = NEW.entity_id FOR NO KEY UPDATE;
    RETURN NEW;
END
$$;
CREATE FUNCTION follow_shared() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.embedding SET shared = NEW.shared WHERE entity_id = NEW.id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER embedding_shared BEFORE INSERT OR UPDATE ON embedding
    FOR EACH ROW EXECUTE FUNCTION copy_entity_to_embedding();
CREATE TRIGGER entity_shared AFTER UPDATE ON entity FOR EACH ROW
    WHEN (OLD.shared <> NEW.shared) EXECUTE FUNCTION follow_shared();
