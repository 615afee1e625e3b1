-- +goose Up
-- A principal with an authority over the whole platform works on what others own:
-- its transactions read as the owner, whom only these functions name.

-- The owner of an entity, for a principal that is not disabled and holds some
-- authority platform-wide; NULL for everybody else, and for what does not exist.
-- +goose StatementBegin
CREATE FUNCTION platform_owner(principal uuid, entity uuid) RETURNS text LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.governance_agent_id FROM public.entity e
    WHERE e.id = platform_owner.entity AND e.entity_type <> 'signing_key' AND EXISTS (
        SELECT FROM public.principal p WHERE p.id = platform_owner.principal
            AND p.disabled_at IS NULL AND cardinality(p.platform_authorities) > 0)
$$;

-- Raises PL001 unless the principal exists, is not disabled, and belongs to the
-- tenant or holds an authority platform-wide; which of them the change needs, the
-- registry has judged.
CREATE OR REPLACE FUNCTION require_principal(principal uuid, tenant text) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT COALESCE((SELECT p.governance_agent_id = require_principal.tenant OR cardinality(p.platform_authorities) > 0
        FROM public.principal p WHERE p.id = require_principal.principal AND p.disabled_at IS NULL), false) THEN
        RAISE EXCEPTION 'the principal is absent, disabled or of another governance agent' USING ERRCODE = 'PL001';
    END IF;
END
$$;

-- When an entity was created, for a reader who sees a part of its history: one that
-- was shared once, or the reader's own.
CREATE FUNCTION born_at(id uuid) RETURNS timestamptz LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.created_at FROM public.entity e WHERE e.id = born_at.id AND (
        e.governance_agent_id = NULLIF(current_setting('app.governance_agent_id', true), '')
        OR NULLIF(current_setting('app.governance_agent_id', true), '') IS NOT NULL
            AND EXISTS (SELECT FROM public.opening o WHERE o.entity_id = e.id AND o.shared))
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION platform_owner(uuid, uuid), born_at(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION platform_owner(uuid, uuid) TO plant_writer, plant_certifier, plant_auditor, plant_reader;
GRANT EXECUTE ON FUNCTION born_at(uuid) TO plant_writer, plant_embedder, plant_certifier, plant_auditor, plant_drift,
    plant_reader, plant_operator;
