-- +goose Up
-- The other kinds, and the keys that sign. References are plain foreign keys to the
-- kind's table; that the caller may see what is referenced is require_visible's to
-- say (006), since a foreign key looks past row-level security.

CREATE TABLE industry (
    id uuid NOT NULL,
    entity_type text NOT NULL GENERATED ALWAYS AS ('industry') STORED,
    governance_agent_id text NOT NULL DEFAULT NULLIF(current_setting('app.governance_agent_id', true), ''),
    description text,

    CONSTRAINT industry_pkey PRIMARY KEY (id),
    CONSTRAINT industry_entity_fkey FOREIGN KEY (id, entity_type) REFERENCES entity (id, entity_type)
);

CREATE TABLE job_role (
    id uuid NOT NULL,
    entity_type text NOT NULL GENERATED ALWAYS AS ('job_role') STORED,
    governance_agent_id text NOT NULL DEFAULT NULLIF(current_setting('app.governance_agent_id', true), ''),
    description text,
    seniority_level text NOT NULL,
    industry_id uuid,

    CONSTRAINT job_role_pkey PRIMARY KEY (id),
    CONSTRAINT job_role_owner_key UNIQUE (id, governance_agent_id), -- for the foreign key of job_role_skill
    CONSTRAINT job_role_entity_fkey FOREIGN KEY (id, entity_type) REFERENCES entity (id, entity_type),
    CONSTRAINT job_role_industry_id_fkey FOREIGN KEY (industry_id) REFERENCES industry (id),
    CONSTRAINT job_role_seniority_level_check CHECK (seniority_level IN ('junior', 'mid', 'senior'))
);
CREATE INDEX job_role_industry ON job_role (industry_id) WHERE industry_id IS NOT NULL;

-- A job role's required_skills, a row each: derived from its state, replaced with it.
CREATE TABLE job_role_skill (
    job_role_id uuid NOT NULL,
    skill_id uuid NOT NULL,
    governance_agent_id text NOT NULL DEFAULT NULLIF(current_setting('app.governance_agent_id', true), ''),

    CONSTRAINT job_role_skill_pkey PRIMARY KEY (job_role_id, skill_id),
    CONSTRAINT job_role_skill_job_role_fkey FOREIGN KEY (job_role_id, governance_agent_id)
        REFERENCES job_role (id, governance_agent_id),
    CONSTRAINT job_role_skill_skill_id_fkey FOREIGN KEY (skill_id) REFERENCES skill (id)
);
CREATE INDEX job_role_skill_skill ON job_role_skill (skill_id);

CREATE TABLE team (
    id uuid NOT NULL,
    entity_type text NOT NULL GENERATED ALWAYS AS ('team') STORED,
    governance_agent_id text NOT NULL DEFAULT NULLIF(current_setting('app.governance_agent_id', true), ''),
    description text,
    job_role_id uuid NOT NULL,

    CONSTRAINT team_pkey PRIMARY KEY (id),
    CONSTRAINT team_job_role_key UNIQUE (id, job_role_id), -- for the foreign key of agent
    CONSTRAINT team_entity_fkey FOREIGN KEY (id, entity_type) REFERENCES entity (id, entity_type),
    CONSTRAINT team_job_role_id_fkey FOREIGN KEY (job_role_id) REFERENCES job_role (id)
);
CREATE INDEX team_job_role ON team (job_role_id);

-- industry_id never changes after birth (L1-AGENT-04): nobody is granted its update.
CREATE TABLE agent (
    id uuid NOT NULL,
    entity_type text NOT NULL GENERATED ALWAYS AS ('agent') STORED,
    governance_agent_id text NOT NULL DEFAULT NULLIF(current_setting('app.governance_agent_id', true), ''),
    skill_id uuid NOT NULL,
    job_role_id uuid NOT NULL,
    industry_id uuid NOT NULL,
    team_id uuid,
    living boolean NOT NULL DEFAULT true, -- follows entity.deleted_at, by trigger

    CONSTRAINT agent_pkey PRIMARY KEY (id),
    CONSTRAINT agent_entity_fkey FOREIGN KEY (id, entity_type) REFERENCES entity (id, entity_type),
    CONSTRAINT agent_skill_id_fkey FOREIGN KEY (skill_id) REFERENCES skill (id),
    CONSTRAINT agent_industry_id_fkey FOREIGN KEY (industry_id) REFERENCES industry (id),
    CONSTRAINT agent_job_role_id_fkey FOREIGN KEY (job_role_id) REFERENCES job_role (id),
    CONSTRAINT agent_team_fkey FOREIGN KEY (team_id, job_role_id) REFERENCES team (id, job_role_id) -- L1-TEAM-03
);
-- L1-AGENT-05 counts assigned, living agents only. A unique index and not a trigger:
-- it also holds between two transactions that do not see each other.
CREATE UNIQUE INDEX agent_assignment_taken ON agent (governance_agent_id, skill_id, job_role_id, team_id)
    WHERE team_id IS NOT NULL AND living;
CREATE INDEX agent_team ON agent (team_id) WHERE team_id IS NOT NULL;
CREATE INDEX agent_skill ON agent (skill_id);
CREATE INDEX agent_job_role ON agent (job_role_id);
CREATE INDEX agent_industry ON agent (industry_id);

-- +goose StatementBegin
CREATE FUNCTION follow_living() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.agent SET living = NEW.deleted_at IS NULL WHERE id = NEW.id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER entity_living AFTER UPDATE ON entity FOR EACH ROW
    WHEN (NEW.entity_type = 'agent' AND (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL))
    EXECUTE FUNCTION follow_living();

-- The keys. Their status is entity.status: active, retired or revoked.
CREATE TABLE signing_key (
    id uuid NOT NULL,
    entity_type text NOT NULL GENERATED ALWAYS AS ('signing_key') STORED,
    governance_agent_id text NOT NULL GENERATED ALWAYS AS ('keyring') STORED,
    key_id text NOT NULL, -- lower-case hex of the SHA-256 of SPKI DER
    spki text NOT NULL,   -- standard base64 of the DER
    use text NOT NULL,
    may_sign text[] NOT NULL DEFAULT '{}',
    invalid_from bigint,  -- of a revoked key: the log index from which nothing of it counts

    CONSTRAINT signing_key_pkey PRIMARY KEY (id),
    CONSTRAINT signing_key_key_id_taken UNIQUE (key_id),
    CONSTRAINT signing_key_entity_fkey FOREIGN KEY (id, entity_type) REFERENCES entity (id, entity_type),
    CONSTRAINT signing_key_key_id_check CHECK (key_id = encode(sha256(decode(spki, 'base64')), 'hex')),
    CONSTRAINT signing_key_use_check CHECK (use IN ('root', 'amendment', 'certification', 'heads', 'checkpoint')),
    CONSTRAINT signing_key_may_sign_check CHECK (
        cardinality(may_sign) = 0 OR use NOT IN ('heads', 'checkpoint')),
    CONSTRAINT signing_key_invalid_from_check CHECK (invalid_from >= 0)
);

-- The check of this foreign key locks the key's row, so a key cannot be retired or
-- revoked (which lock the row FOR UPDATE first) between the trigger below and the
-- commit. Root 0 signs its own introduction: entity, signing_key, amendment, in
-- this order. A key that signs its own retirement: the amendment before the head.
ALTER TABLE amendment ADD CONSTRAINT amendment_key_fkey FOREIGN KEY (key_id) REFERENCES signing_key (key_id);
ALTER TABLE signature_batch ADD CONSTRAINT signature_batch_key_fkey FOREIGN KEY (key_id) REFERENCES signing_key (key_id);

-- A statement's AFTER trigger fires behind all of its rows' triggers, the foreign
-- key's among them: the key's row is locked by then, and under READ COMMITTED each
-- query below sees whatever the lock waited for. Any other isolation level would
-- look at an old snapshot, so it is refused.
-- +goose StatementBegin
CREATE FUNCTION check_keys_in_force() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'amendments are recorded under READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF EXISTS (SELECT FROM (SELECT DISTINCT key_id, change, entity_type FROM added) a WHERE NOT EXISTS (
        SELECT FROM public.signing_key k JOIN public.entity e ON e.id = k.id
        WHERE k.key_id = a.key_id AND e.status = 'active' AND a.change = ANY (k.may_sign)
          AND (k.use = 'root') = (a.entity_type = 'signing_key')
          AND (k.use = 'certification' OR a.change NOT IN ('certified', 'rejected', 'decertified', 'reaffirmed')))) THEN
        RAISE EXCEPTION 'the key is not in force, or may not sign this change' USING ERRCODE = 'PL003';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER amendment_key_in_force AFTER INSERT ON amendment REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_keys_in_force();

CREATE TRIGGER industry_owner AFTER INSERT ON industry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_owner();
CREATE TRIGGER industry_audit BEFORE UPDATE OR DELETE ON industry
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('kind');
CREATE TRIGGER job_role_owner AFTER INSERT ON job_role REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_owner();
CREATE TRIGGER job_role_audit BEFORE UPDATE OR DELETE ON job_role
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('kind');
CREATE TRIGGER team_owner AFTER INSERT ON team REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_owner();
CREATE TRIGGER team_audit BEFORE UPDATE OR DELETE ON team
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('kind');
CREATE TRIGGER agent_owner AFTER INSERT ON agent REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_owner();
CREATE TRIGGER agent_audit BEFORE UPDATE OR DELETE ON agent
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('kind');
CREATE TRIGGER signing_key_audit BEFORE UPDATE OR DELETE ON signing_key
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('key');
