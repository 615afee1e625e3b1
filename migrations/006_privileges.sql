-- +goose Up
-- Privileges: what is not written here is refused (42501) before row-level security
-- is asked, which alone would let an UPDATE or DELETE pass as zero rows.

-- +goose StatementBegin
DO $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT relname FROM pg_catalog.pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', t);
    END LOOP;
END
$$;
-- +goose StatementEnd

GRANT USAGE ON SCHEMA public TO plant_writer, plant_embedder, plant_certifier, plant_auditor, plant_drift,
    plant_authenticator, plant_operator, plant_reader;
GRANT SELECT ON goose_db_version, constitution, signing_key TO plant_writer, plant_embedder, plant_certifier,
    plant_auditor, plant_drift, plant_authenticator, plant_operator, plant_reader;

-- Governed.
GRANT SELECT ON entity, skill, job_role, job_role_skill, team, agent, industry, amendment, opening, signature_batch
    TO plant_writer, plant_reader, plant_embedder, plant_certifier, plant_auditor, plant_drift;
GRANT INSERT ON entity, skill, job_role, team, industry TO plant_writer;
GRANT INSERT (id, governance_agent_id, skill_id, job_role_id, industry_id, team_id) ON agent TO plant_writer;
-- A head is derived whole from the signed state: whoever may record may set all of
-- it but id, entity_type, governance_agent_id and created_at.
GRANT UPDATE (external_id, name, name_key, updated_at, deleted_at, status, status_reason, visibility,
    version, version_hash, etag_hash, superseded_by, erased_seqs, reattests, constitution_hash, amendment_alignment,
    drift_detector, genesis_certification, embedding, tags, custom_attributes, governance_notes, parent_id)
    ON entity TO plant_writer, plant_embedder, plant_certifier, plant_drift, plant_operator;
GRANT UPDATE (description, category) ON skill TO plant_writer;
GRANT UPDATE (description, seniority_level, industry_id) ON job_role TO plant_writer;
GRANT UPDATE (description, job_role_id) ON team TO plant_writer;
GRANT UPDATE (skill_id, job_role_id, team_id) ON agent TO plant_writer;
GRANT UPDATE (description) ON industry TO plant_writer;
GRANT INSERT, DELETE ON job_role_skill TO plant_writer;

-- Append-only, and openings: insert alone.
GRANT INSERT ON amendment, opening, signature_batch
    TO plant_writer, plant_embedder, plant_certifier, plant_drift, plant_operator;
GRANT INSERT ON constitution TO plant_operator;

-- Keys, and principals.
GRANT SELECT, INSERT ON entity TO plant_operator;
GRANT SELECT ON amendment, opening, signature_batch TO plant_operator;
GRANT INSERT, UPDATE (invalid_from) ON signing_key TO plant_operator;
GRANT SELECT, INSERT, UPDATE (name, authorities, platform_authorities, secret_hash, disabled_at)
    ON principal TO plant_operator;
GRANT SELECT ON principal TO plant_authenticator;

-- Derived.
GRANT SELECT ON embedding TO plant_writer, plant_reader, plant_auditor;
GRANT SELECT, INSERT, DELETE, UPDATE (vector, text_sha256, vector_sha256) ON embedding TO plant_embedder, plant_drift;

-- Operational.
GRANT SELECT, INSERT ON idempotency_key TO plant_writer, plant_certifier;
GRANT SELECT, DELETE ON idempotency_key TO plant_auditor;
GRANT SELECT (id), INSERT, DELETE ON outbox TO plant_writer, plant_embedder, plant_certifier, plant_drift;
GRANT SELECT, INSERT, DELETE, UPDATE (attempts, available_at) ON outbox TO plant_auditor;
GRANT INSERT ON inbox TO plant_writer, plant_embedder, plant_certifier, plant_auditor, plant_drift;
GRANT SELECT, DELETE ON inbox TO plant_auditor;
GRANT SELECT ON log_pending TO plant_auditor;

-- Raises PL001 unless the principal exists, is not disabled and belongs to the tenant.
-- Asked in the round trip of every write: disabled means now.
-- +goose StatementBegin
CREATE FUNCTION require_principal(principal uuid, tenant text) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT COALESCE((SELECT p.governance_agent_id = require_principal.tenant FROM public.principal p
        WHERE p.id = require_principal.principal AND p.disabled_at IS NULL), false) THEN
        RAISE EXCEPTION 'the principal is absent, disabled or of another governance agent' USING ERRCODE = 'PL001';
    END IF;
END
$$;
-- +goose StatementEnd

-- Those of ids that the transaction's tenant may not refer to. It may refer to a living
-- entity of the kind at the same place in kinds that it owns, or that is or was
-- shared: while an entity is being changed, others rest on its last shared version.
-- Absent and hidden answer alike.
-- +goose StatementBegin
CREATE FUNCTION invisible(ids uuid[], kinds text[]) RETURNS SETOF uuid LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant CONSTANT text := NULLIF(current_setting('app.governance_agent_id', true), '');
BEGIN
    IF cardinality(ids) IS DISTINCT FROM cardinality(kinds) THEN
        RAISE EXCEPTION 'ids and kinds differ in length' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY SELECT r.id FROM unnest(ids, kinds) AS r (id, kind)
        WHERE tenant IS NULL OR NOT EXISTS (SELECT FROM public.entity e
            WHERE e.id = r.id AND e.entity_type = r.kind AND e.deleted_at IS NULL
              AND (e.governance_agent_id = tenant OR e.shared
                OR EXISTS (SELECT FROM public.opening o WHERE o.entity_id = e.id AND o.shared)));
END
$$;

-- Raises PL002 if any is invisible; DETAIL holds their ids, comma-separated.
CREATE FUNCTION require_visible(ids uuid[], kinds text[]) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing CONSTANT text := (SELECT string_agg(id::text, ',') FROM public.invisible(ids, kinds) AS id);
BEGIN
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'a reference is not visible' USING ERRCODE = 'PL002', DETAIL = missing;
    END IF;
END
$$;
-- +goose StatementEnd

-- Whether an entity that the tenant does not own was shared once and is archived now:
-- then a reader is told that it is gone (410) and not that it never was (404).
-- +goose StatementBegin
CREATE FUNCTION archived_after_shared(id uuid) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULLIF(current_setting('app.governance_agent_id', true), '') IS NOT NULL AND EXISTS (
        SELECT FROM public.entity e JOIN public.opening o ON o.entity_id = e.id AND o.shared
        WHERE e.id = archived_after_shared.id AND e.deleted_at IS NOT NULL)
$$;
-- +goose StatementEnd

-- Deletes the openings that the `erased` amendment (entity, seq) names, and says how
-- many there were. Granted to nobody until there is a route for it.
-- +goose StatementBegin
CREATE FUNCTION erase_openings(entity uuid, erasing bigint) RETURNS bigint LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    erased bigint;
BEGIN
    DELETE FROM public.opening o USING public.amendment a, public.opening e
    WHERE a.entity_id = erase_openings.entity AND a.seq = erasing AND a.change = 'erased'
      AND e.entity_id = a.entity_id AND e.seq = a.seq
      AND o.entity_id = a.entity_id AND o.seq < a.seq AND e.state::jsonb -> 'erased_seqs' @> to_jsonb(o.seq);
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END
$$;
-- +goose StatementEnd

GRANT EXECUTE ON FUNCTION require_principal(uuid, text) TO plant_writer, plant_certifier, plant_auditor, plant_drift;
GRANT EXECUTE ON FUNCTION require_visible(uuid[], text[]), invisible(uuid[], text[]) TO plant_writer;
GRANT EXECUTE ON FUNCTION archived_after_shared(uuid) TO plant_writer, plant_reader;

-- TRUNCATE asks neither row-level security nor row triggers: besides the privilege
-- that nobody has, a statement trigger refuses it. And every trigger fires always,
-- also under session_replication_role = replica.
-- +goose StatementBegin
CREATE FUNCTION prevent_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of %: nothing is ever removed', TG_TABLE_NAME USING ERRCODE = 'PL004';
END
$$;
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT relname FROM pg_catalog.pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON public.%I
            FOR EACH STATEMENT EXECUTE FUNCTION public.prevent_truncate()', t.relname || '_truncate', t.relname);
    END LOOP;
    FOR t IN SELECT tgrelid::regclass AS tab, tgname FROM pg_catalog.pg_trigger
             JOIN pg_catalog.pg_class c ON c.oid = tgrelid
             WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tab, t.tgname);
    END LOOP;
END
$$;
-- +goose StatementEnd
