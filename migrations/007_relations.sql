-- +goose Up
-- What rests on what, and the rules about relations that only the database can
-- hold between transactions that do not see each other. Each is asked at the end
-- of a write's own transaction; an advisory lock makes those that could break the
-- rule together wait for one another.
--
-- SQLSTATEs: PL007 an ancestor would be its own descendant; PL008 a living team
-- would be without an agent.

-- Every reference between entities, one row each: who (source) names whom (target)
-- in which field. Row-level security of the tables decides what a reader sees.
CREATE VIEW entity_reference WITH (security_invoker = true) AS
SELECT job_role_id AS source, skill_id AS target, 'required_skills' AS field FROM job_role_skill
UNION ALL SELECT id, industry_id, 'industry_id' FROM job_role WHERE industry_id IS NOT NULL
UNION ALL SELECT id, job_role_id, 'job_role_id' FROM team
UNION ALL SELECT id, skill_id, 'skill_id' FROM agent
UNION ALL SELECT id, job_role_id, 'job_role_id' FROM agent
UNION ALL SELECT id, industry_id, 'industry_id' FROM agent
UNION ALL SELECT id, team_id, 'team_id' FROM agent WHERE team_id IS NOT NULL
UNION ALL SELECT id, parent_id, 'parent_id' FROM entity WHERE parent_id IS NOT NULL
UNION ALL SELECT id, superseded_by, 'superseded_by' FROM entity WHERE superseded_by IS NOT NULL;

GRANT SELECT ON entity_reference TO plant_writer, plant_reader, plant_certifier, plant_auditor, plant_drift;

-- Raises PL007 if one of these entities is now its own ancestor. All changes of
-- parents of one tenant and kind pass here one after the other.
-- +goose StatementBegin
CREATE FUNCTION require_no_cycle(ids uuid[], kind text) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant CONSTANT text := NULLIF(current_setting('app.governance_agent_id', true), '');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('plant parent ' || COALESCE(tenant, '') || ' ' || kind, 0));
    IF EXISTS (
        WITH RECURSIVE ancestor (start, id, depth) AS (
            SELECT e.id, e.parent_id, 1 FROM public.entity e WHERE e.id = ANY (ids) AND e.parent_id IS NOT NULL
            UNION ALL
            SELECT a.start, e.parent_id, a.depth + 1 FROM ancestor a JOIN public.entity e ON e.id = a.id
            WHERE e.parent_id IS NOT NULL AND a.id <> a.start AND a.depth < 10000
        )
        SELECT FROM ancestor WHERE id = start OR depth >= 10000
    ) THEN
        RAISE EXCEPTION 'an entity would be its own ancestor' USING ERRCODE = 'PL007';
    END IF;
END
$$;

-- Raises PL008 if one of these teams lives and no living agent is assigned to it.
-- All who leave one team pass here one after the other.
CREATE FUNCTION require_agents(teams uuid[]) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    team uuid;
BEGIN
    FOR team IN SELECT DISTINCT t FROM unnest(teams) AS t ORDER BY t LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('plant team ' || team::text, 0));
        IF EXISTS (SELECT FROM public.entity e WHERE e.id = team AND e.entity_type = 'team' AND e.deleted_at IS NULL)
            AND NOT EXISTS (SELECT FROM public.agent a WHERE a.team_id = team AND a.living) THEN
            RAISE EXCEPTION 'a team would be without an agent' USING ERRCODE = 'PL008';
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION require_no_cycle(uuid[], text), require_agents(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION require_no_cycle(uuid[], text), require_agents(uuid[]) TO plant_writer;

-- What a revoked key signed is said again under one in force by the certifier's role.
CREATE POLICY insert_reattested ON amendment FOR INSERT TO plant_certifier
    WITH CHECK (entity_type <> 'signing_key' AND change = 'reattested');
