-- +goose Up
-- Who decides, and what was refused.
--
-- SQLSTATE: PL009 something that must be certified is not.

-- Attempts to decide, or to write what only a decision writes, that were refused.
-- The refused transaction left nothing; this is written behind it. A governance
-- agent reads what its own principals tried, and what was tried on what it owns.
CREATE TABLE refusal (
    id uuid NOT NULL, -- UUIDv7
    refused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    governance_agent_id text NOT NULL, -- of who tried
    principal_id uuid NOT NULL,
    operation text NOT NULL,
    decision text,
    entity_type text,
    entity_id uuid,                    -- as it was named: it may not exist
    entity_owner text,                 -- NULL where there is no such entity
    code text NOT NULL,                -- as the answer said
    rules text[] NOT NULL DEFAULT '{}',
    request_id text,

    CONSTRAINT refusal_pkey PRIMARY KEY (id),
    CONSTRAINT refusal_governance_agent_id_check CHECK (governance_agent_id ~ '^[a-z0-9-]{1,63}$'),
    CONSTRAINT refusal_operation_check CHECK (operation ~ '^[A-Za-z]{1,64}$'),
    CONSTRAINT refusal_code_check CHECK (code ~ '^[a-z_]{1,64}$'),
    CONSTRAINT refusal_rules_check CHECK (cardinality(rules) <= 100)
);
CREATE INDEX refusal_own ON refusal (governance_agent_id, id);
CREATE INDEX refusal_owner ON refusal (entity_owner, id) WHERE entity_owner IS NOT NULL;

-- The owner of what was tried on, by nobody's word.
-- +goose StatementBegin
CREATE FUNCTION note_refusal() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.refused_at := clock_timestamp();
    NEW.entity_owner := (SELECT e.governance_agent_id FROM public.entity e WHERE e.id = NEW.entity_id);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER refusal_noted BEFORE INSERT ON refusal FOR EACH ROW EXECUTE FUNCTION note_refusal();
CREATE TRIGGER refusal_audit BEFORE UPDATE OR DELETE ON refusal
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER refusal_truncate BEFORE TRUNCATE ON refusal
    FOR EACH STATEMENT EXECUTE FUNCTION public.prevent_truncate();
ALTER TABLE refusal ENABLE ALWAYS TRIGGER refusal_noted, ENABLE ALWAYS TRIGGER refusal_audit,
    ENABLE ALWAYS TRIGGER refusal_truncate;

ALTER TABLE refusal ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON refusal FROM PUBLIC;
CREATE POLICY owner_all ON refusal TO plant_owner USING (true) WITH CHECK (true);
CREATE POLICY read_own ON refusal FOR SELECT TO plant_reader
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), ''))
        OR entity_owner = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_all ON refusal FOR SELECT TO plant_auditor USING (true);
CREATE POLICY insert_own ON refusal FOR INSERT TO plant_writer
    WITH CHECK (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY insert_all ON refusal FOR INSERT TO plant_certifier WITH CHECK (true);
GRANT SELECT ON refusal TO plant_reader, plant_auditor;
GRANT INSERT (id, governance_agent_id, principal_id, operation, decision, entity_type, entity_id, code, rules, request_id)
    ON refusal TO plant_writer, plant_certifier;

-- What waits for a decision, of all tenants.
CREATE INDEX entity_waiting ON entity (id) WHERE status = 'under_review';

-- Whether a principal that is not disabled holds an authority over what these
-- governance agents own: the database's answer at this moment, whatever a token says.
-- +goose StatementBegin
CREATE FUNCTION holds_authority(principal uuid, authority text, owners text[]) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT COALESCE((SELECT holds_authority.authority = ANY (p.platform_authorities)
            OR holds_authority.authority = ANY (p.authorities) AND owners <@ ARRAY[p.governance_agent_id]
        FROM public.principal p WHERE p.id = holds_authority.principal AND p.disabled_at IS NULL), false)
$$;

-- Raises PL001 unless it does.
CREATE FUNCTION require_authority(principal uuid, authority text, owners text[]) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT public.holds_authority(principal, authority, owners) THEN
        RAISE EXCEPTION 'the principal does not hold the authority' USING ERRCODE = 'PL001';
    END IF;
END
$$;

-- Raises PL009 unless each of these is certified or active. Their rows are locked:
-- who withdraws one of them at the same moment comes before this or behind it.
CREATE FUNCTION require_certified(ids uuid[]) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM public.entity e WHERE e.id = ANY (ids) ORDER BY e.id FOR SHARE;
    IF EXISTS (SELECT FROM unnest(ids) AS r (id) WHERE NOT EXISTS (
        SELECT FROM public.entity e WHERE e.id = r.id AND e.status IN ('certified', 'active'))) THEN
        RAISE EXCEPTION 'something that this rests on is not certified' USING ERRCODE = 'PL009';
    END IF;
END
$$;

-- The places of entities' amendments in the log: NULL while one waits for it. What
-- is in neither has no row.
CREATE FUNCTION log_places(ids uuid[]) RETURNS TABLE (entity uuid, amendment bigint, place bigint) LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT a.entity_id, a.seq, NULL::bigint
        FROM public.amendment a JOIN public.log_pending p ON p.hash = a.hash WHERE a.entity_id = ANY (ids);
    IF to_regclass('public.log_entry') IS NOT NULL THEN
        RETURN QUERY EXECUTE 'SELECT l.entity_id, l.seq, l.log_index FROM public.log_entry l WHERE l.entity_id = ANY ($1)'
            USING ids;
    END IF;
END
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION note_refusal(), holds_authority(uuid, text, text[]), require_authority(uuid, text, text[]),
    require_certified(uuid[]), log_places(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION holds_authority(uuid, text, text[]), require_authority(uuid, text, text[]),
    require_certified(uuid[]), log_places(uuid[]), require_agents(uuid[]) TO plant_certifier;

-- A dry run writes nothing, and asks all the same whether its principal still may.
GRANT EXECUTE ON FUNCTION require_principal(uuid, text) TO plant_reader;

-- A rejected agent leaves its team: that column of it, and nothing else.
CREATE POLICY update_team ON agent FOR UPDATE TO plant_certifier USING (true);
GRANT UPDATE (team_id) ON agent TO plant_certifier;

-- Agents of all tenants that wait in draft, in a team, for something that they name
-- to be certified: who certified it need not be who owns them.
-- +goose StatementBegin
CREATE FUNCTION waiting_agents(ground uuid, behind uuid, most int) RETURNS TABLE (agent uuid, owner text) LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.id, a.governance_agent_id FROM public.agent a JOIN public.entity e ON e.id = a.id
    WHERE (a.skill_id = ground OR a.job_role_id = ground) AND a.team_id IS NOT NULL AND e.status = 'draft' AND a.id > behind
    ORDER BY a.id LIMIT most
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION waiting_agents(uuid, uuid, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION waiting_agents(uuid, uuid, int) TO plant_writer;
