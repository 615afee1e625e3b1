-- +goose Up
-- The switch that holds batch work (audits, drift checks, backfills), with its whole
-- history: the newest change says whether it is held. Interactive work never asks.

CREATE TABLE hold_change (
    id bigint GENERATED ALWAYS AS IDENTITY,
    held boolean NOT NULL,
    made_by text NOT NULL,
    reason text NOT NULL,
    budget_id text,
    period_start timestamptz, -- of the costs; a budget's period is a month
    cost numeric,
    budget numeric,
    currency text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT hold_change_pkey PRIMARY KEY (id),
    CONSTRAINT hold_change_made_by_check CHECK (made_by IN ('operator', 'budget')),
    CONSTRAINT hold_change_reason_check CHECK (length(reason) <= 500 AND reason !~ '[[:cntrl:]]' AND reason ~ '[^[:space:]]'),
    -- A budget only throws the switch, and says what it saw; lifting is by hand.
    CONSTRAINT hold_change_budget_check CHECK (CASE made_by
        WHEN 'budget' THEN held AND num_nulls(budget_id, period_start, cost, budget, currency) = 0
        ELSE num_nonnulls(budget_id, period_start, cost, budget, currency) = 0 END)
);
-- A budget throws the switch once a period, however often and in whatever order it
-- speaks: what was lifted by hand stays lifted until the next.
CREATE UNIQUE INDEX hold_change_thrown ON hold_change (budget_id, period_start) WHERE made_by = 'budget';

CREATE TRIGGER hold_change_audit BEFORE UPDATE OR DELETE ON hold_change
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER hold_change_truncate BEFORE TRUNCATE ON hold_change
    FOR EACH STATEMENT EXECUTE FUNCTION prevent_truncate();
ALTER TABLE hold_change ENABLE ALWAYS TRIGGER hold_change_audit;
ALTER TABLE hold_change ENABLE ALWAYS TRIGGER hold_change_truncate;

ALTER TABLE hold_change ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON hold_change FROM PUBLIC;
CREATE POLICY owner_all ON hold_change TO plant_owner USING (true) WITH CHECK (true);
CREATE POLICY read_all ON hold_change FOR SELECT TO plant_writer, plant_reader, plant_embedder, plant_certifier,
    plant_auditor, plant_drift, plant_authenticator, plant_operator USING (true);
CREATE POLICY insert_by_hand ON hold_change FOR INSERT TO plant_operator WITH CHECK (made_by = 'operator');
CREATE POLICY insert_thrown ON hold_change FOR INSERT TO plant_auditor WITH CHECK (made_by = 'budget');
GRANT SELECT ON hold_change TO plant_writer, plant_reader, plant_embedder, plant_certifier,
    plant_auditor, plant_drift, plant_authenticator, plant_operator;
-- When it was is the database's to say.
GRANT INSERT (held, made_by, reason) ON hold_change TO plant_operator;
GRANT INSERT (held, made_by, reason, budget_id, period_start, cost, budget, currency) ON hold_change TO plant_auditor;

-- Runs that stand still are asked for again by the sweep, which belongs to the audit.
ALTER TABLE audit_run ADD COLUMN asked_at timestamptz;
ALTER TABLE drift_run ADD COLUMN asked_at timestamptz;
CREATE INDEX drift_run_open ON drift_run (updated_at) WHERE finished_at IS NULL;
CREATE POLICY read_open ON drift_run FOR SELECT TO plant_auditor USING (true);
CREATE POLICY update_asked ON drift_run FOR UPDATE TO plant_auditor USING (true);
GRANT SELECT (id, updated_at, finished_at, asked_at), UPDATE (asked_at) ON drift_run TO plant_auditor;
GRANT UPDATE (asked_at) ON audit_run TO plant_auditor;
