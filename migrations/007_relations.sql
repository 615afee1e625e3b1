-- +goose Up
-- The rules about relations that only the database can hold between transactions
-- that do not see each other. Each is asked at the end
-- of a write's own transaction; an advisory lock makes those that could break the
-- rule together wait for one another.
--
-- SQLSTATEs: PL007 an ancestor would be its own descendant; PL008 a living team
-- would be without an agent.

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
