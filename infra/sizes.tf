# One configuration; a size is these figures and nothing else. GROWTH.md says
# what the next ones are.
locals {
  sizes = {
    lab = {
      database_tier    = "db-f1-micro"
      database_disk_gb = 10
      database_disk_to = 20 # it grows by itself up to here
      backups          = 7
      redis_gb         = 0
      budget_usd       = 25
    }
    team = {
      database_tier    = "db-f1-micro"
      database_disk_gb = 10
      database_disk_to = 20
      backups          = 7
      redis_gb         = 1
      budget_usd       = 100
    }
  }
  size = local.sizes[var.size]

  # What a shared-core Cloud SQL instance lets functions and jobs open: 25, less
  # those of PostgreSQL and of Cloud SQL itself (about 17), less room for one
  # function's old and new revision side by side.
  connections_allowed = 14
}

check "connections" {
  assert {
    condition     = local.connections <= local.connections_allowed
    error_message = "Instances × pool come to ${local.connections}, the database takes ${local.connections_allowed}."
  }
}
