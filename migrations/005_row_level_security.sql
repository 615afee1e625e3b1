-- +goose Up
-- Row-level security, forced, on every table. The tenant is a setting of the
-- transaction: set_config('app.governance_agent_id', …, true). Absent it is NULL,
-- after the transaction '': both deny. It stands in a sub-select, so that it is
-- evaluated once per statement. Any role that serves tenants can make the setting:
-- this stops our bugs, not a captured function.
--
-- Policies look entities up by id alone and compare what they find: on a table that
-- was small when a plan was made, a condition on the owner beside the id's invites the
-- planner to walk the tenant's whole index for each row. IS TRUE keeps a condition
-- from being one that an index could serve.
--
-- owner_all: under FORCE the owner is bound too, and without a policy foreign keys
-- would validate against nothing, definer functions see nothing, pg_dump fail.

-- +goose StatementBegin
DO $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT relname FROM pg_catalog.pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY owner_all ON public.%I TO plant_owner USING (true) WITH CHECK (true)', t);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Governed: read own or shared (keys always), insert and update own, no delete.
-- The duties that work across tenants read everything and write what is theirs.
CREATE POLICY read_own ON entity FOR SELECT TO plant_writer, plant_reader
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_shared ON entity FOR SELECT TO plant_writer, plant_reader
    USING (shared AND (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')) IS NOT NULL);
CREATE POLICY read_keys ON entity FOR SELECT TO plant_writer, plant_reader, plant_operator
    USING (entity_type = 'signing_key');
CREATE POLICY read_all ON entity FOR SELECT TO plant_embedder, plant_certifier, plant_auditor, plant_drift
    USING (true);
CREATE POLICY insert_own ON entity FOR INSERT TO plant_writer
    WITH CHECK (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), ''))
        AND entity_type IN ('skill', 'job_role', 'team', 'agent', 'industry'));
CREATE POLICY update_own ON entity FOR UPDATE TO plant_writer
    USING ((governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), ''))
        AND entity_type IN ('skill', 'job_role', 'team', 'agent', 'industry')) IS TRUE);
CREATE POLICY update_all ON entity FOR UPDATE TO plant_embedder, plant_certifier, plant_drift
    USING (entity_type IN ('skill', 'job_role', 'team', 'agent', 'industry'));
CREATE POLICY insert_keys ON entity FOR INSERT TO plant_operator WITH CHECK (entity_type = 'signing_key');
CREATE POLICY update_keys ON entity FOR UPDATE TO plant_operator USING (entity_type = 'signing_key');

-- A kind's row is shared as its entity is.
-- +goose StatementBegin
DO $$
DECLARE
    kind text;
    own CONSTANT text := $q$governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), ''))$q$;
BEGIN
    FOREACH kind IN ARRAY ARRAY['skill', 'job_role', 'team', 'agent', 'industry'] LOOP
        EXECUTE format('CREATE POLICY read_own ON public.%I FOR SELECT TO plant_writer, plant_reader USING (%s)', kind, own);
        EXECUTE format('CREATE POLICY read_shared ON public.%1$I FOR SELECT TO plant_writer, plant_reader
            USING ((SELECT e.shared FROM public.entity e WHERE e.id = %1$I.id))', kind);
        EXECUTE format('CREATE POLICY read_all ON public.%I FOR SELECT
            TO plant_embedder, plant_certifier, plant_auditor, plant_drift USING (true)', kind);
        EXECUTE format('CREATE POLICY insert_own ON public.%I FOR INSERT TO plant_writer WITH CHECK (%s)', kind, own);
        EXECUTE format('CREATE POLICY update_own ON public.%I FOR UPDATE TO plant_writer USING (%s)', kind, own);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Keys: read by all, written by the operator.
CREATE POLICY read_all ON signing_key FOR SELECT TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader USING (true);
CREATE POLICY insert_keys ON signing_key FOR INSERT TO plant_operator WITH CHECK (true);
CREATE POLICY update_keys ON signing_key FOR UPDATE TO plant_operator USING (true);

-- Openings: a tenant's own, the shared ones, the keys'. No policy names amendment:
-- amendment's names opening, and the two may not go in a circle.
CREATE POLICY read_own ON opening FOR SELECT TO plant_writer, plant_reader
    USING ((SELECT e.governance_agent_id FROM entity e WHERE e.id = opening.entity_id)
        = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_shared ON opening FOR SELECT TO plant_writer, plant_reader
    USING (shared AND (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')) IS NOT NULL);
CREATE POLICY read_keys ON opening FOR SELECT TO plant_writer, plant_reader, plant_operator
    USING ((SELECT e.entity_type FROM entity e WHERE e.id = opening.entity_id) = 'signing_key');
CREATE POLICY read_all ON opening FOR SELECT TO plant_embedder, plant_certifier, plant_auditor, plant_drift
    USING (true);
CREATE POLICY insert_own ON opening FOR INSERT TO plant_writer
    WITH CHECK ((SELECT e.governance_agent_id FROM entity e WHERE e.id = opening.entity_id
        AND e.entity_type <> 'signing_key') = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY insert_all ON opening FOR INSERT TO plant_embedder, plant_certifier, plant_drift
    WITH CHECK ((SELECT e.entity_type FROM entity e WHERE e.id = opening.entity_id) <> 'signing_key');
CREATE POLICY insert_keys ON opening FOR INSERT TO plant_operator
    WITH CHECK ((SELECT e.entity_type FROM entity e WHERE e.id = opening.entity_id) = 'signing_key');

-- Append-only: a duty records only what its duty is. Another tenant reads the
-- amendments whose openings are shared.
CREATE POLICY read_own ON amendment FOR SELECT TO plant_writer, plant_reader
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_shared ON amendment FOR SELECT TO plant_writer, plant_reader
    USING (EXISTS (SELECT FROM opening o
        WHERE o.entity_id = amendment.entity_id AND o.seq = amendment.seq AND o.shared));
CREATE POLICY read_keys ON amendment FOR SELECT TO plant_writer, plant_reader, plant_operator
    USING (entity_type = 'signing_key');
CREATE POLICY read_all ON amendment FOR SELECT TO plant_embedder, plant_certifier, plant_auditor, plant_drift
    USING (true);
CREATE POLICY insert_own ON amendment FOR INSERT TO plant_writer
    WITH CHECK (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), ''))
        AND entity_type <> 'signing_key' AND change IN ('created', 'evolved', 'moved', 'assigned', 'drifted'));
CREATE POLICY insert_embedded ON amendment FOR INSERT TO plant_embedder
    WITH CHECK (entity_type <> 'signing_key' AND change = 'embedded');
CREATE POLICY insert_decided ON amendment FOR INSERT TO plant_certifier
    WITH CHECK (entity_type <> 'signing_key'
        AND change IN ('certified', 'rejected', 'decertified', 'reaffirmed', 'moved'));
CREATE POLICY insert_drifted ON amendment FOR INSERT TO plant_drift
    WITH CHECK (entity_type <> 'signing_key' AND change IN ('drifted', 'embedded'));
CREATE POLICY insert_keys ON amendment FOR INSERT TO plant_operator WITH CHECK (entity_type = 'signing_key');

-- A batch's signature is for whoever may read an amendment that rests on it.
CREATE POLICY read_as_amendment ON signature_batch FOR SELECT TO plant_writer, plant_reader, plant_operator
    USING (EXISTS (SELECT FROM amendment a WHERE a.batch_id = signature_batch.id));
CREATE POLICY read_all ON signature_batch FOR SELECT TO plant_embedder, plant_certifier, plant_auditor, plant_drift
    USING (true);
CREATE POLICY insert_all ON signature_batch FOR INSERT
    TO plant_writer, plant_embedder, plant_certifier, plant_drift, plant_operator WITH CHECK (true);

CREATE POLICY read_all ON constitution FOR SELECT TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader USING (true);
CREATE POLICY insert_all ON constitution FOR INSERT TO plant_operator WITH CHECK (true);

-- Derived.
CREATE POLICY read_own ON job_role_skill FOR SELECT TO plant_writer, plant_reader
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_shared ON job_role_skill FOR SELECT TO plant_writer, plant_reader
    USING ((SELECT e.shared FROM entity e WHERE e.id = job_role_skill.job_role_id));
CREATE POLICY read_all ON job_role_skill FOR SELECT TO plant_embedder, plant_certifier, plant_auditor, plant_drift
    USING (true);
CREATE POLICY insert_own ON job_role_skill FOR INSERT TO plant_writer
    WITH CHECK (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY delete_own ON job_role_skill FOR DELETE TO plant_writer
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));

CREATE POLICY read_own ON embedding FOR SELECT TO plant_writer, plant_reader
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_shared ON embedding FOR SELECT TO plant_writer, plant_reader
    USING (shared AND (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')) IS NOT NULL);
CREATE POLICY read_all ON embedding FOR SELECT TO plant_embedder, plant_auditor, plant_drift USING (true);
CREATE POLICY insert_all ON embedding FOR INSERT TO plant_embedder, plant_drift WITH CHECK (true);
CREATE POLICY update_all ON embedding FOR UPDATE TO plant_embedder, plant_drift USING (true);
CREATE POLICY delete_all ON embedding FOR DELETE TO plant_embedder, plant_drift USING (true);

-- Secret: others ask require_principal.
CREATE POLICY read_all ON principal FOR SELECT TO plant_authenticator, plant_operator USING (true);
CREATE POLICY insert_all ON principal FOR INSERT TO plant_operator WITH CHECK (true);
CREATE POLICY update_all ON principal FOR UPDATE TO plant_operator USING (true);

-- Operational. Repeats are remembered for a day at least, events that were handled
-- for a week: as long as Pub/Sub may deliver one again. The sweep (plant_auditor's)
-- neither sees nor deletes younger ones.
CREATE POLICY read_own ON idempotency_key FOR SELECT TO plant_writer, plant_certifier
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY insert_own ON idempotency_key FOR INSERT TO plant_writer, plant_certifier
    WITH CHECK (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_old ON idempotency_key FOR SELECT TO plant_auditor
    USING (created_at < now() - interval '24 hours');
CREATE POLICY delete_old ON idempotency_key FOR DELETE TO plant_auditor
    USING (created_at < now() - interval '24 hours');

-- A writer deletes what it has announced, by id, of the tenant it acts for: a bug can
-- lose that tenant's announcements, never a record. plant_auditor sends what was left.
CREATE POLICY read_own ON outbox FOR SELECT TO plant_writer
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY insert_own ON outbox FOR INSERT TO plant_writer
    WITH CHECK (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY delete_own ON outbox FOR DELETE TO plant_writer
    USING (governance_agent_id = (SELECT NULLIF(current_setting('app.governance_agent_id', true), '')));
CREATE POLICY read_all ON outbox FOR SELECT TO plant_embedder, plant_certifier, plant_auditor, plant_drift USING (true);
CREATE POLICY insert_all ON outbox FOR INSERT TO plant_embedder, plant_certifier, plant_auditor, plant_drift
    WITH CHECK (true);
CREATE POLICY delete_all ON outbox FOR DELETE TO plant_embedder, plant_certifier, plant_auditor, plant_drift
    USING (true);
CREATE POLICY update_all ON outbox FOR UPDATE TO plant_auditor USING (true);

CREATE POLICY insert_all ON inbox FOR INSERT
    TO plant_writer, plant_embedder, plant_certifier, plant_auditor, plant_drift WITH CHECK (true);
CREATE POLICY read_old ON inbox FOR SELECT TO plant_auditor USING (received_at < now() - interval '7 days');
CREATE POLICY delete_old ON inbox FOR DELETE TO plant_auditor USING (received_at < now() - interval '7 days');

CREATE POLICY read_all ON log_pending FOR SELECT TO plant_auditor USING (true);

-- The version of the schema: functions refuse to start against an older one.
CREATE POLICY read_all ON goose_db_version FOR SELECT TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader USING (true);
