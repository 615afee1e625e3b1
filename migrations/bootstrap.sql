-- The administrator's step: run once per database, before the migrations, with
-- any client (psql, or one Exec of the whole text). It may be run again at any
-- time, also at once in several databases of one server: what is already as it
-- should be is left alone.
--
-- It makes the roles without passwords, so nobody can log in until the caller
-- sets them (ALTER ROLE … PASSWORD), or, with IAM logins, grants a duty role to
-- the IAM user: GRANT plant_writer TO "fn@project.iam" WITH INHERIT TRUE, SET TRUE
-- (SET, because the tenant-facing routes of cross-tenant functions change to
-- plant_reader).
--
-- PostgreSQL 16 or newer. The administrator is a superuser or, as on Cloud SQL, a
-- role with CREATEROLE that owns the database and made these roles itself. Such a
-- role keeps the ADMIN option on the roles it made (PostgreSQL gives it, nobody
-- can take it away) but ends this script without membership: it cannot read data
-- unless it grants itself a role, which the server's log shows.

DO $$
BEGIN
    IF current_setting('server_version_num')::int < 160000 THEN
        RAISE EXCEPTION 'PostgreSQL 16 or newer is needed, this is %', current_setting('server_version');
    END IF;
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database must be UTF8, this one is %: records are hashed as UTF-8',
            current_setting('server_encoding');
    END IF;
END
$$;

-- pgvector is not a trusted extension: this takes a superuser, on Cloud SQL a member
-- of cloudsqlsuperuser. Elsewhere a superuser creates it first, and this finds it.
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

DO $$
DECLARE
    duty text;
    duties CONSTANT text[] := ARRAY['plant_migrator', 'plant_writer', 'plant_embedder', 'plant_certifier',
        'plant_auditor', 'plant_drift', 'plant_authenticator', 'plant_operator', 'plant_reader'];
BEGIN
    -- Roles belong to the server, and another database may be prepared at this moment:
    -- whoever comes second finds the role made.
    FOREACH duty IN ARRAY duties || ARRAY['plant_owner'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = duty);
        BEGIN
            EXECUTE format('CREATE ROLE %I %s NOCREATEDB NOCREATEROLE', duty,
                CASE duty WHEN 'plant_owner' THEN 'NOLOGIN' ELSE 'LOGIN' END);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    -- A new role has none of these; one that was here before must not have them either.
    -- (Only a superuser could take SUPERUSER or BYPASSRLS away, so this refuses instead.)
    IF EXISTS (SELECT FROM pg_catalog.pg_roles
               WHERE rolname = ANY (duties || ARRAY['plant_owner'])
                 AND (rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication)) THEN
        RAISE EXCEPTION 'a plant_ role has SUPERUSER, BYPASSRLS, CREATEDB, CREATEROLE or REPLICATION: take it away first';
    END IF;
    -- The migrator becomes the owner only by saying so (SET ROLE).
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members
                   WHERE roleid = 'plant_owner'::regrole AND member = 'plant_migrator'::regrole AND set_option) THEN
        GRANT plant_owner TO plant_migrator WITH SET TRUE, INHERIT FALSE, ADMIN FALSE;
    END IF;
    -- Functions that work across tenants answer a tenant's request as plant_reader.
    FOREACH duty IN ARRAY ARRAY['plant_embedder', 'plant_certifier', 'plant_auditor', 'plant_drift'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members
                       WHERE roleid = 'plant_reader'::regrole AND member = duty::regrole AND set_option) THEN
            EXECUTE format('GRANT plant_reader TO %I WITH SET TRUE, INHERIT FALSE, ADMIN FALSE', duty);
        END IF;
    END LOOP;
END
$$;

-- The database and its schema public belong to plant_owner (schema public follows
-- through pg_database_owner), and PUBLIC has nothing in either. A database made
-- from a template keeps neither owner nor privileges of the template: run this there.
DO $$
DECLARE
    borrowed boolean := false;
BEGIN
    -- Not a superuser: be the owner for the length of this block.
    IF NOT pg_catalog.pg_has_role(current_user, 'plant_owner', 'USAGE') THEN
        GRANT plant_owner TO CURRENT_USER WITH INHERIT TRUE, SET TRUE;
        borrowed := true;
    END IF;
    IF (SELECT datdba <> 'plant_owner'::regrole FROM pg_catalog.pg_database WHERE datname = current_database()) THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO plant_owner', current_database());
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO plant_migrator, plant_writer, plant_embedder, plant_certifier,
        plant_auditor, plant_drift, plant_authenticator, plant_operator, plant_reader', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    IF borrowed THEN
        -- Or this script could not be run again.
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), current_user);
        REVOKE plant_owner FROM CURRENT_USER;
    END IF;
END
$$;
