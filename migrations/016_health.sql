-- +goose Up
-- How the platform's own work stands, for whoever operates it: ages and counts, and
-- never a row. The operator can read neither events nor runs nor openings.
-- +goose StatementBegin
CREATE FUNCTION health(OUT waiting bigint, OUT waiting_since timestamptz, OUT unsent bigint, OUT unsent_since timestamptz,
    OUT searched bigint, OUT unembedded bigint, OUT unembedded_since timestamptz,
    OUT audited_at timestamptz, OUT audit_findings bigint, OUT now timestamptz) LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.n, w.since, o.n, o.since, s.n, s.lacking, s.since, r.finished_at, coalesce(r.findings, 0), clock_timestamp()
    FROM (SELECT count(*) AS n, min(recorded_at) AS since FROM public.log_pending) w,
        (SELECT count(*) AS n, min(created_at) AS since FROM public.outbox) o,
        (SELECT count(*) AS n, count(*) FILTER (WHERE embedding IS NULL) AS lacking,
                min(updated_at) FILTER (WHERE embedding IS NULL) AS since
            FROM public.entity WHERE deleted_at IS NULL AND entity_type IN ('skill', 'job_role', 'industry')) s
        LEFT JOIN LATERAL (SELECT finished_at, findings FROM public.audit_run
            WHERE governance_agent_id IS NULL AND entity_id IS NULL AND entity_type IS NULL AND finished_at IS NOT NULL
            ORDER BY finished_at DESC LIMIT 1) r ON true
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION health() TO plant_operator;
