-- +goose Up
-- Which constitution is in force, and since when: the newest enactment. One that was
-- in force before can be again.
--
-- SQLSTATE: PL014 an amendment names another constitution than the one in force;
-- PL015 another one is in force than the one that is to be replaced; PL016 an
-- enactment that fewer than five decided.

CREATE TABLE enactment (
    n bigint NOT NULL, -- 0 for the founding one
    sha256 bytea NOT NULL,
    enacted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    entity_id uuid, -- the `enacted` amendment; none of the founding one
    seq bigint,

    CONSTRAINT enactment_pkey PRIMARY KEY (n),
    CONSTRAINT enactment_constitution_fkey FOREIGN KEY (sha256) REFERENCES constitution (sha256),
    CONSTRAINT enactment_amendment_fkey FOREIGN KEY (entity_id, seq) REFERENCES amendment (entity_id, seq),
    CONSTRAINT enactment_amendment_key UNIQUE (entity_id, seq),
    CONSTRAINT enactment_n_check CHECK (n >= 0 AND (n = 0) = (entity_id IS NULL) AND num_nulls(entity_id, seq) IN (0, 2))
);
CREATE INDEX enactment_constitution ON enactment (sha256);
INSERT INTO enactment (n, sha256, enacted_at)
    SELECT 0, sha256, enacted_at FROM constitution WHERE enacted_at IS NOT NULL ORDER BY enacted_at DESC LIMIT 1;

CREATE TRIGGER enactment_audit BEFORE UPDATE OR DELETE ON enactment
    FOR EACH ROW EXECUTE FUNCTION prevent_audit_column_updates('history');
CREATE TRIGGER enactment_truncate BEFORE TRUNCATE ON enactment
    FOR EACH STATEMENT EXECUTE FUNCTION public.prevent_truncate();
ALTER TABLE enactment ENABLE ALWAYS TRIGGER enactment_audit, ENABLE ALWAYS TRIGGER enactment_truncate;
ALTER TABLE enactment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON enactment FROM PUBLIC;
CREATE POLICY owner_all ON enactment TO plant_owner USING (true) WITH CHECK (true);
CREATE POLICY read_all ON enactment FOR SELECT TO plant_writer, plant_embedder, plant_certifier, plant_auditor,
    plant_drift, plant_authenticator, plant_operator, plant_reader USING (true);
-- The operator founds; every other enactment is enact_constitution's.
CREATE POLICY insert_founding ON enactment FOR INSERT TO plant_operator WITH CHECK (n = 0);
GRANT SELECT ON enactment TO plant_writer, plant_embedder, plant_certifier, plant_auditor, plant_drift,
    plant_authenticator, plant_operator, plant_reader;
GRANT INSERT (n, sha256) ON enactment TO plant_operator;

-- An amendment names the constitution that is in force when it is recorded. Whoever
-- records shares a lock with the others until the commit; whoever enacts takes it
-- alone. An advisory lock and not a row's: its queue is fair, so that writers who
-- never cease cannot keep an enactment waiting. Behind the lock each query sees what
-- it waited for: the trigger of the keys refuses every isolation but READ COMMITTED.
-- The log takes what waits by recorded_at: where clocks differ, a record under the old
-- constitution can stand behind the `enacted` one there, by as much as clocks may
-- differ. Which constitution a record was judged by the record itself says.
-- +goose StatementBegin
CREATE FUNCTION check_law_in_force() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    law bytea;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('plant.constitution', 0));
    SELECT e.sha256 INTO law FROM public.enactment e ORDER BY e.n DESC LIMIT 1;
    IF EXISTS (SELECT FROM added a WHERE a.constitution IS DISTINCT FROM law) THEN
        RAISE EXCEPTION 'another constitution is in force' USING ERRCODE = 'PL014';
    END IF;
    RETURN NULL;
END
$$;

-- The first step of an enactment, before its amendment is written: nobody records any
-- more until this commits, and the constitution that was judged against is in force.
CREATE FUNCTION begin_enactment(replaces bytea) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('plant.constitution', 0));
    IF (SELECT e.sha256 FROM public.enactment e ORDER BY e.n DESC LIMIT 1) IS DISTINCT FROM replaces THEN
        RAISE EXCEPTION 'another constitution is in force than the one to be replaced' USING ERRCODE = 'PL015';
    END IF;
END
$$;

-- The last step: what the signed state of the `enacted` amendment says comes into
-- force. That amendment is the last one under the old constitution. Whoever proposed,
-- the three who judged and who enacts are five different authors.
CREATE FUNCTION enact_constitution(entity uuid, amendment bigint) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('plant.constitution', 0));
    IF (SELECT count(DISTINCT a.author) < 5 OR count(*) FILTER (WHERE a.change = 'judged') < 3 FROM public.amendment a
        WHERE a.entity_id = entity AND (a.seq = amendment OR a.change IN ('proposed', 'judged'))) THEN
        RAISE EXCEPTION 'an enactment has five authors' USING ERRCODE = 'PL016';
    END IF;
    INSERT INTO public.enactment (n, sha256, entity_id, seq)
        SELECT (SELECT max(n) + 1 FROM public.enactment), decode(o.state::jsonb ->> 'in_force', 'hex'), a.entity_id, a.seq
        FROM public.amendment a JOIN public.opening o USING (entity_id, seq)
        WHERE a.entity_id = entity AND a.seq = amendment AND a.entity_type = 'constitution' AND a.change = 'enacted';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no enacted amendment says so' USING ERRCODE = 'PL015';
    END IF;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER amendment_law_in_force AFTER INSERT ON amendment REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_law_in_force();
ALTER TABLE amendment ENABLE ALWAYS TRIGGER amendment_law_in_force;
REVOKE EXECUTE ON FUNCTION check_law_in_force(), begin_enactment(bytea), enact_constitution(uuid, bigint) FROM PUBLIC;

-- Proposals. A document comes with its proposal, and is kept whatever becomes of it;
-- an enactment says which ones were in force.
ALTER TABLE constitution ADD CONSTRAINT constitution_document_check CHECK (octet_length(document) <= 65536);
CREATE INDEX entity_proposals ON entity (id) WHERE entity_type = 'constitution';
CREATE POLICY insert_proposed ON constitution FOR INSERT TO plant_certifier WITH CHECK (enacted_at IS NULL);
GRANT INSERT (sha256, document, version) ON constitution TO plant_certifier;
CREATE POLICY insert_proposed ON entity FOR INSERT TO plant_certifier WITH CHECK (entity_type = 'constitution');
CREATE POLICY update_proposed ON entity FOR UPDATE TO plant_certifier USING (entity_type = 'constitution');
GRANT INSERT ON entity TO plant_certifier;
CREATE POLICY insert_proposed ON amendment FOR INSERT TO plant_certifier
    WITH CHECK (entity_type = 'constitution' AND change IN ('proposed', 'judged', 'enacted'));
GRANT EXECUTE ON FUNCTION begin_enactment(bytea), enact_constitution(uuid, bigint) TO plant_certifier;
