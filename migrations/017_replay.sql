-- +goose Up
-- A run of the drift check may be an enactment's: it judges by what came into force, at
-- once. There is one of each enactment, however often its event comes.
ALTER TABLE drift_run ADD COLUMN enactment bigint,
    ADD CONSTRAINT drift_run_enactment_fkey FOREIGN KEY (enactment) REFERENCES enactment (n),
    ADD CONSTRAINT drift_run_enactment_key UNIQUE (enactment);
DROP INDEX drift_run_daily;
CREATE UNIQUE INDEX drift_run_daily ON drift_run (((started_at AT TIME ZONE 'UTC')::date))
    WHERE principal_id IS NULL AND enactment IS NULL;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION prevent_drift_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'drift_run' THEN
        IF OLD.finished_at IS NULL AND (NEW.id, NEW.governance_agent_id, NEW.principal_id, NEW.enactment, NEW.started_at)
            IS NOT DISTINCT FROM (OLD.id, OLD.governance_agent_id, OLD.principal_id, OLD.enactment, OLD.started_at) THEN
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
-- +goose StatementEnd
