-- +goose Up
-- What was exported, what was audited, and what was found. All three are evidence
-- about evidence: nothing of them is changed or removed, but for how far a run is.

-- An export is a cut: a scope as of a published checkpoint. Its bytes are made of
-- the history whenever they are fetched, so they are kept nowhere.
CREATE TABLE audit_export (
    id uuid NOT NULL,
    governance_agent_id text NOT NULL, -- of who asked
    principal_id uuid NOT NULL,
    scope text NOT NULL,               -- all, governance_agent:ID, entity:ID or agent:ID@DATE
    viewer text NOT NULL,              -- whose openings are shown: a governance agent's; '': everybody's
    seen bigint NOT NULL,              -- size of a checkpoint that the auditor holds; 0: none
    checkpoint bigint NOT NULL,        -- number of the checkpoint at which it is cut
    records bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT audit_export_pkey PRIMARY KEY (id),
    CONSTRAINT audit_export_checkpoint_fkey FOREIGN KEY (checkpoint) REFERENCES checkpoint (n),
    CONSTRAINT audit_export_scope_check CHECK (scope ~ '^(all|governance_agent:.+|entity:.+|agent:.+@.+)$'),
    CONSTRAINT audit_export_count_check CHECK (seen >= 0 AND records >= 0)
);
CREATE INDEX audit_export_cut ON audit_export (checkpoint);

-- A run works through the log and then through entities in the order of their ids,
-- a chunk at a time; position is where the next one begins.
CREATE TABLE audit_run (
    id uuid NOT NULL,
    governance_agent_id text,   -- whose run it is, and what it looks at; none: the platform's
    principal_id uuid,          -- none: the daily one
    entity_type text,           -- only entities of this kind
    entity_id uuid,             -- only this one
    since timestamptz NOT NULL, -- only entities with an amendment since then
    phase text NOT NULL,
    position text NOT NULL DEFAULT '',
    entities bigint NOT NULL DEFAULT 0,   -- looked at so far
    amendments bigint NOT NULL DEFAULT 0,
    entries bigint NOT NULL DEFAULT 0,    -- of the log
    findings bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,

    CONSTRAINT audit_run_pkey PRIMARY KEY (id),
    CONSTRAINT audit_run_phase_check CHECK (phase IN ('log', 'entities', 'done') AND (phase = 'done') = (finished_at IS NOT NULL))
);
CREATE INDEX audit_run_open ON audit_run (updated_at) WHERE finished_at IS NULL;

CREATE TABLE audit_finding (
    id uuid NOT NULL,
    run_id uuid NOT NULL,
    governance_agent_id text, -- of the entity; none: of the log
    entity_id uuid,           -- not a reference: the entity may be what is missing
    entity_type text,
    seq bigint,               -- of the amendment, where it is one's
    reason text NOT NULL,
    expected text NOT NULL,
    found text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT audit_finding_pkey PRIMARY KEY (id),
    CONSTRAINT audit_finding_run_fkey FOREIGN KEY (run_id) REFERENCES audit_run (id),
    CONSTRAINT audit_finding_reason_check CHECK (reason ~ '^[a-z0-9_]{1,63}$')
);
CREATE INDEX audit_finding_run ON audit_finding (run_id, id);
CREATE INDEX audit_finding_entity ON audit_finding (entity_id) WHERE entity_id IS NOT NULL;

-- A run only goes on, and ends once.
-- +goose StatementBegin
CREATE FUNCTION prevent_run_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.finished_at IS NULL AND NEW.entities >= OLD.entities AND NEW.amendments >= OLD.amendments
        AND NEW.entries >= OLD.entries AND NEW.findings >= OLD.findings
        AND (NEW.id, NEW.governance_agent_id, NEW.principal_id, NEW.entity_type, NEW.entity_id, NEW.since, NEW.started_at)
            IS NOT DISTINCT FROM
            (OLD.id, OLD.governance_agent_id, OLD.principal_id, OLD.entity_type, OLD.entity_id, OLD.since, OLD.started_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a run of the audit only goes on' USING ERRCODE = 'PL004';
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION prevent_run_change() FROM PUBLIC;
CREATE TRIGGER audit_export_audit BEFORE UPDATE OR DELETE ON audit_export
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER audit_run_audit BEFORE UPDATE OR DELETE ON audit_run
    FOR EACH ROW EXECUTE FUNCTION prevent_run_change();
CREATE TRIGGER audit_finding_audit BEFORE UPDATE OR DELETE ON audit_finding
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');

-- What every table has: see 005 and 006.
-- +goose StatementBegin
DO $$
DECLARE
    t text;
    g text;
BEGIN
    FOREACH t IN ARRAY ARRAY['audit_export', 'audit_run', 'audit_finding'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY owner_all ON public.%I TO plant_owner USING (true) WITH CHECK (true)', t);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', t);
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON public.%I
            FOR EACH STATEMENT EXECUTE FUNCTION public.prevent_truncate()', t || '_truncate', t);
        FOR g IN SELECT tgname FROM pg_catalog.pg_trigger
                 WHERE tgrelid = ('public.' || t)::regclass AND NOT tgisinternal LOOP
            EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER %I', t, g);
        END LOOP;
        -- Written by the audit's function; a tenant reads its own.
        EXECUTE format('CREATE POLICY read_own ON public.%I FOR SELECT TO plant_reader
            USING (governance_agent_id = (SELECT NULLIF(current_setting(''app.governance_agent_id'', true), '''')))', t);
        EXECUTE format('CREATE POLICY read_all ON public.%I FOR SELECT TO plant_auditor USING (true)', t);
        EXECUTE format('CREATE POLICY insert_all ON public.%I FOR INSERT TO plant_auditor WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT ON public.%I TO plant_reader', t);
        EXECUTE format('GRANT SELECT, INSERT ON public.%I TO plant_auditor', t);
    END LOOP;
END
$$;
-- +goose StatementEnd
CREATE POLICY update_all ON audit_run FOR UPDATE TO plant_auditor USING (true);
GRANT UPDATE (phase, position, entities, amendments, entries, findings, updated_at, finished_at) ON audit_run TO plant_auditor;
