output "repository" {
  description = "make image PUSH=$(terraform output -raw repository)"
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.plant.repository_id}/plant"
}

output "grants" {
  description = "SQL of the administrator, after migrations/bootstrap.sql: which login has which duty."
  value = join("\n", [
    for name, u in local.database_users :
    "GRANT ${u.role} TO \"${trimsuffix(u.email, ".gserviceaccount.com")}\" WITH INHERIT TRUE, SET TRUE;"
  ])
}

output "connections" {
  description = "Connections that functions and one job open at most, outside a rollout."
  value       = local.connections
}

output "functions" {
  description = "Instances and pool of each function, for the price and connection test."
  value       = { for f, x in local.functions : f => { instances = x.instances, pool = x.pool } }
}
