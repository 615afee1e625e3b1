resource "google_sql_database_instance" "plant" {
  name                = "plant"
  region              = var.region
  database_version    = var.postgres_version
  deletion_protection = true # Terraform's; the setting below is Google's

  settings {
    edition                     = "ENTERPRISE" # the default since PostgreSQL 16 refuses shared-core tiers
    tier                        = local.size.database_tier
    availability_type           = "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = local.size.database_disk_gb
    disk_autoresize             = true
    disk_autoresize_limit       = local.size.database_disk_to
    deletion_protection_enabled = true
    connector_enforcement       = "REQUIRED" # only the connectors, which check who asks

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.plant.id
      ssl_mode        = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "00:30"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7
      backup_retention_settings {
        retained_backups = local.size.backups
      }
    }

    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }
    # An error's DETAIL quotes what a user wrote; a log must not.
    database_flags {
      name  = "log_error_verbosity"
      value = "terse"
    }

    maintenance_window {
      day  = 7
      hour = 5
    }
  }

  lifecycle {
    ignore_changes = [settings[0].disk_size] # it has grown
  }
  depends_on = [google_service_networking_connection.services]
}

resource "google_sql_database" "plant" {
  name            = "plant"
  instance        = google_sql_database_instance.plant.name
  deletion_policy = "ABANDON"
}

# No passwords: every function and job logs in as itself.
resource "google_sql_user" "user" {
  for_each        = local.database_users
  name            = trimsuffix(each.value.email, ".gserviceaccount.com")
  instance        = google_sql_database_instance.plant.name
  type            = "CLOUD_IAM_SERVICE_ACCOUNT"
  deletion_policy = "ABANDON"
}

resource "google_project_iam_member" "database" {
  for_each = {
    for pair in setproduct(keys(local.database_users), ["roles/cloudsql.client", "roles/cloudsql.instanceUser"]) :
    "${pair[0]} ${pair[1]}" => { email = local.database_users[pair[0]].email, role = pair[1] }
  }
  project = var.project
  role    = each.value.role
  member  = "serviceAccount:${each.value.email}"
  condition {
    title      = "this instance only"
    expression = "resource.service == \"sqladmin.googleapis.com\" && resource.name == \"projects/${var.project}/instances/${google_sql_database_instance.plant.name}\""
  }
}
