locals {
  # Settings that every function has.
  shared_settings = {
    PLANT_ORIGIN             = var.origin
    GOOGLE_CLOUD_PROJECT     = var.project
    INSTANCE_CONNECTION_NAME = "${var.project}:${var.region}:${google_sql_database_instance.plant.name}"
    DB_NAME                  = google_sql_database.plant.name
    CORS_ORIGINS             = join(",", var.cors_origins)
    TOKEN_ISSUER             = "https://${var.origin}"
    TOKEN_AUDIENCE           = "plant"
  }

  secret_version = {
    for s in keys(local.secrets) : s =>
    "projects/${var.project}/secrets/${google_secret_manager_secret.key[s].secret_id}/versions/${lookup(var.key_versions, s, 1)}"
  }

  settings = {
    for f, x in local.functions : f => merge(
      local.shared_settings,
      {
        FUNCTION_TARGET = f
        DB_IAM_USER     = trimsuffix(local.account[f], ".gserviceaccount.com")
        DB_POOL         = tostring(x.pool)
      },
      { for use in x.keys : local.keys[use].setting => local.secret_version["plant-${use}-key"] },
      x.tokens ? { JWT_KEYS = local.secret_version["plant-jwt-keys"] } : {},
      x.publishes ? { PUBSUB_TOPIC = google_pubsub_topic.events.name } : {},
      contains(local.consumers, f) ? { PUBSUB_DEAD_LETTER_TOPIC = google_pubsub_topic.dead_letter.name } : {},
      contains(local.pushed, f) ? { PUSH_AUDIENCE = local.push_audience, PUSH_SERVICE_ACCOUNT = local.push } : {},
      x.role == "plant_writer" ? { EMBED_URL = local.address["embed"] } : {},
      f == "drift-check" ? { PUBSUB_DEAD_LETTER_SUBSCRIPTION = google_pubsub_subscription.dead_letter.name } : {},
      f == "audit-run" ? { CHECKPOINT_BUCKET = google_storage_bucket.checkpoints.name } : {},
    )
  }
}

resource "google_cloud_run_v2_service" "function" {
  for_each            = { for f, x in local.functions : f => x if var.serve }
  name                = each.key
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_ALL" # Firebase Hosting comes from outside
  custom_audiences    = [local.push_audience]
  deletion_protection = true

  template {
    service_account                  = local.account[each.key]
    timeout                          = "60s" # as Firebase Hosting's
    max_instance_request_concurrency = 8

    scaling {
      min_instance_count = 0
      max_instance_count = each.value.instances
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.plant.name
        subnetwork = google_compute_subnetwork.functions.name
      }
    }

    containers {
      image = var.image
      resources {
        limits            = { cpu = "1", memory = each.value.memory }
        cpu_idle          = true # pay while a request runs, and only then
        startup_cpu_boost = true
      }
      ports {
        container_port = 8080
      }
      dynamic "env" {
        for_each = local.settings[each.key]
        content {
          name  = env.key
          value = env.value
        }
      }
      dynamic "env" {
        for_each = each.key == "embed" ? google_secret_manager_secret_version.redis : []
        content {
          name = "REDIS_URL"
          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.redis[0].secret_id
              version = env.value.version
            }
          }
        }
      }
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 30
        http_get {
          path = "/health"
        }
      }
    }
  }

  lifecycle {
    # Cloud Build deploys images and moves traffic.
    ignore_changes = [template[0].containers[0].image, template[0].revision, traffic, client, client_version]
  }

  depends_on = [
    google_project_iam_member.database, google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_iam_member.redis, google_sql_user.user,
  ]
}

# The API is for everybody who has a token: the functions check it themselves, and
# Firebase Hosting calls without one of Google's.
resource "google_cloud_run_v2_service_iam_member" "public" {
  for_each = google_cloud_run_v2_service.function
  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}

# Should the functions be closed to the public one day, pushes still get in.
resource "google_cloud_run_v2_service_iam_member" "push" {
  for_each = { for f, s in google_cloud_run_v2_service.function : f => s if contains(local.pushed, f) }
  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${local.push}"
}
