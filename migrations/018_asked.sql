-- +goose Up
-- What a principal may, the database says at every call: a token shows what it held
-- when it was issued. Writers ask in the transaction of the write, who audits and who
-- reads an audit before anything is read.
GRANT EXECUTE ON FUNCTION require_authority(uuid, text, text[]) TO plant_writer;
GRANT EXECUTE ON FUNCTION holds_authority(uuid, text, text[]) TO plant_auditor;

-- Who holds one over the whole platform reads what others own, also by its vector.
GRANT EXECUTE ON FUNCTION platform_owner(uuid, uuid) TO plant_embedder;

-- As in 007, and a parent may be another tenant's: where the ancestors lead to one, the
-- change also passes, one after the other, with those of all tenants whose ancestors do,
-- and looks again. Each tenant's own changes of parents pass one after the other all the
-- same, so no chain leads out of a tenant unseen.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION require_no_cycle(ids uuid[], kind text) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant CONSTANT text := NULLIF(current_setting('app.governance_agent_id', true), '');
    circle boolean;
    abroad boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('plant parent ' || COALESCE(tenant, '') || ' ' || kind, 0));
    FOR look IN 1..2 LOOP
        WITH RECURSIVE ancestor (start, id, parent, owner, depth) AS (
            SELECT e.id, e.id, e.parent_id, e.governance_agent_id, 0 FROM public.entity e WHERE e.id = ANY (ids)
            UNION ALL
            SELECT a.start, e.id, e.parent_id, e.governance_agent_id, a.depth + 1
            FROM ancestor a JOIN public.entity e ON e.id = a.parent
            WHERE (a.depth = 0 OR a.id <> a.start) AND a.depth < 10000
        )
        SELECT bool_or(depth > 0 AND id = start OR depth >= 10000), bool_or(owner IS DISTINCT FROM tenant)
            INTO circle, abroad FROM ancestor;
        IF circle THEN
            RAISE EXCEPTION 'an entity would be its own ancestor' USING ERRCODE = 'PL007';
        END IF;
        EXIT WHEN NOT abroad;
        PERFORM pg_advisory_xact_lock(hashtextextended('plant parents of all ' || kind, 0));
    END LOOP;
END
$$;
-- +goose StatementEnd

-- What other tenants rest on is archived: certify hears of it, and marks them.
CREATE POLICY insert_marked ON amendment FOR INSERT TO plant_certifier
    WITH CHECK (entity_type IN ('skill', 'job_role', 'team', 'agent', 'industry') AND change = 'drifted');
