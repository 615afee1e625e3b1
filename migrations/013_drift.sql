-- +goose Up
-- The drift check: how far a run is, what it counted for whom, and what it found.
--
-- SQLSTATE: PL010 a run no longer stands where the caller thinks.

CREATE TABLE drift_run (
    id uuid NOT NULL,
    governance_agent_id text, -- whose run it is, and what it looks at; none: the platform's
    principal_id uuid,        -- none: the daily one
    phase text NOT NULL,
    position text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,

    CONSTRAINT drift_run_pkey PRIMARY KEY (id),
    CONSTRAINT drift_run_phase_check CHECK (phase IN ('vectors', 'constitution', 'certifications', 'workflows', 'done')
        AND (phase = 'done') = (finished_at IS NOT NULL))
);
-- The clock begins one run a day, however often it calls.
CREATE UNIQUE INDEX drift_run_daily ON drift_run (((started_at AT TIME ZONE 'UTC')::date)) WHERE principal_id IS NULL;

-- What a run counted of each governance agent's; the platform's own figures are
-- those of 'system'.
CREATE TABLE drift_report (
    run_id uuid NOT NULL,
    governance_agent_id text NOT NULL,
    figure text NOT NULL,
    n bigint NOT NULL,

    CONSTRAINT drift_report_pkey PRIMARY KEY (run_id, governance_agent_id, figure),
    CONSTRAINT drift_report_run_fkey FOREIGN KEY (run_id) REFERENCES drift_run (id),
    CONSTRAINT drift_report_n_check CHECK (n >= 0),
    CONSTRAINT drift_report_figure_check CHECK (figure ~ '^[a-z_]{1,63}$')
);

CREATE TABLE drift_finding (
    id uuid NOT NULL,
    run_id uuid NOT NULL,
    governance_agent_id text NOT NULL,
    entity_id uuid NOT NULL,
    entity_type text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    stability_ppm int,
    found_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT drift_finding_pkey PRIMARY KEY (id),
    CONSTRAINT drift_finding_run_fkey FOREIGN KEY (run_id) REFERENCES drift_run (id),
    CONSTRAINT drift_finding_reason_check CHECK (reason ~ '^[a-z0-9_]{1,63}$'),
    CONSTRAINT drift_finding_stability_check CHECK (stability_ppm BETWEEN 0 AND 1000000)
);
CREATE INDEX drift_finding_run ON drift_finding (run_id, id);

-- A run only goes on and ends once; what it counted only grows.
-- +goose StatementBegin
CREATE FUNCTION prevent_drift_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'drift_run' THEN
        IF OLD.finished_at IS NULL AND (NEW.id, NEW.governance_agent_id, NEW.principal_id, NEW.started_at)
            IS NOT DISTINCT FROM (OLD.id, OLD.governance_agent_id, OLD.principal_id, OLD.started_at) THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        IF NEW.n >= OLD.n AND (NEW.run_id, NEW.governance_agent_id, NEW.figure)
            = (OLD.run_id, OLD.governance_agent_id, OLD.figure) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'a run of the drift check only goes on' USING ERRCODE = 'PL004';
END
$$;

-- Moves a run on in the transaction of its chunk's effects, and waits for another
-- worker's of the same run. Raises PL010 if it no longer stands where the chunk began.
CREATE FUNCTION advance_drift(run uuid, from_phase text, from_position text, to_phase text, to_position text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.drift_run SET phase = to_phase, position = to_position, updated_at = clock_timestamp(),
            finished_at = CASE WHEN to_phase = 'done' THEN clock_timestamp() END
        WHERE id = run AND phase = from_phase AND position = from_position;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the run has moved on' USING ERRCODE = 'PL010';
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION prevent_drift_change(), advance_drift(uuid, text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION advance_drift(uuid, text, text, text, text), holds_authority(uuid, text, text[]),
    log_places(uuid[]) TO plant_drift;
CREATE TRIGGER drift_run_audit BEFORE UPDATE OR DELETE ON drift_run
    FOR EACH ROW EXECUTE FUNCTION prevent_drift_change();
CREATE TRIGGER drift_report_audit BEFORE UPDATE OR DELETE ON drift_report
    FOR EACH ROW EXECUTE FUNCTION prevent_drift_change();
CREATE TRIGGER drift_finding_audit BEFORE UPDATE OR DELETE ON drift_finding
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');

-- What every table has: see 005 and 006. Written by the drift check; a tenant reads
-- its own, and of the platform's runs that there were any.
-- +goose StatementBegin
DO $$
DECLARE
    t text;
    g text;
BEGIN
    FOREACH t IN ARRAY ARRAY['drift_run', 'drift_report', 'drift_finding'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY owner_all ON public.%I TO plant_owner USING (true) WITH CHECK (true)', t);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', t);
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON public.%I
            FOR EACH STATEMENT EXECUTE FUNCTION public.prevent_truncate()', t || '_truncate', t);
        FOR g IN SELECT tgname FROM pg_catalog.pg_trigger
                 WHERE tgrelid = ('public.' || t)::regclass AND NOT tgisinternal LOOP
            EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER %I', t, g);
        END LOOP;
        EXECUTE format('CREATE POLICY read_own ON public.%I FOR SELECT TO plant_reader
            USING (governance_agent_id = (SELECT NULLIF(current_setting(''app.governance_agent_id'', true), '''')))', t);
        EXECUTE format('CREATE POLICY read_all ON public.%I FOR SELECT TO plant_drift USING (true)', t);
        EXECUTE format('CREATE POLICY insert_all ON public.%I FOR INSERT TO plant_drift WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT ON public.%I TO plant_reader', t);
        EXECUTE format('GRANT SELECT, INSERT ON public.%I TO plant_drift', t);
    END LOOP;
END
$$;
-- +goose StatementEnd
CREATE POLICY read_daily ON drift_run FOR SELECT TO plant_reader USING (governance_agent_id IS NULL
    AND (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')) IS NOT NULL);
CREATE POLICY update_all ON drift_run FOR UPDATE TO plant_drift USING (true);
CREATE POLICY update_all ON drift_report FOR UPDATE TO plant_drift USING (true);
GRANT UPDATE (phase, position, updated_at, finished_at) ON drift_run TO plant_drift;
GRANT UPDATE (n) ON drift_report TO plant_drift;

-- How long events wait is counted; what they say is the sweep's.
GRANT SELECT (created_at) ON outbox TO plant_drift;

-- Who passes again under another constitution is read by the certifier, behind an id.
CREATE INDEX entity_constitution ON entity (constitution_hash, id) WHERE deleted_at IS NULL;
