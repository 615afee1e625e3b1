-- +goose Up
-- What a principal may, the database says at every call: a token shows what it held
-- when it was issued. Writers ask in the transaction of the write, who audits and who
-- reads an audit before anything is read.
GRANT EXECUTE ON FUNCTION require_authority(uuid, text, text[]) TO plant_writer;
GRANT EXECUTE ON FUNCTION holds_authority(uuid, text, text[]) TO plant_auditor;

-- Who holds one over the whole platform reads what others own, also by its vector.
GRANT EXECUTE ON FUNCTION platform_owner(uuid, uuid) TO plant_embedder;
