-- +goose Up
-- What an agent can do. Like every kind's table it holds only what its kind adds;
-- the owner is repeated so that a policy needs no join, taken from the
-- transaction's setting unless named, and held to entity's by the trigger check_owner.
CREATE TABLE skill (
    id uuid NOT NULL,
    entity_type text NOT NULL GENERATED ALWAYS AS ('skill') STORED,
    governance_agent_id text NOT NULL DEFAULT NULLIF(current_setting('app.governance_agent_id', true), ''),
    description text NOT NULL,
    category text NOT NULL,

    CONSTRAINT skill_pkey PRIMARY KEY (id),
    CONSTRAINT skill_entity_fkey FOREIGN KEY (id, entity_type) REFERENCES entity (id, entity_type),
    CONSTRAINT skill_description_check CHECK (description <> ''),
    CONSTRAINT skill_category_check CHECK (category IN ('technical', 'soft_skill', 'domain_expertise', 'certification'))
);
CREATE INDEX skill_category ON skill (governance_agent_id, category);

-- +goose StatementBegin
CREATE FUNCTION check_owner() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM added a JOIN public.entity e ON e.id = a.id
               WHERE e.governance_agent_id IS DISTINCT FROM a.governance_agent_id) THEN
        RAISE EXCEPTION 'the entity has another owner' USING ERRCODE = 'foreign_key_violation',
            TABLE = TG_TABLE_NAME, CONSTRAINT = TG_TABLE_NAME || '_owner_fkey';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER skill_owner AFTER INSERT ON skill REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_owner();
CREATE TRIGGER skill_audit BEFORE UPDATE OR DELETE ON skill
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('kind');
