# The command line in the cloud, where the database is: plant migrate up before a
# deployment, and what an operator asks for (gcloud run jobs execute plant-operator
# --args=keys,list).
resource "google_cloud_run_v2_job" "job" {
  for_each            = local.jobs
  name                = "plant-${each.key}"
  location            = var.region
  deletion_protection = false # it holds nothing

  template {
    task_count  = 1
    parallelism = 1
    template {
      service_account = local.runner[each.key]
      max_retries     = 0
      timeout         = "900s"
      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = google_compute_network.plant.name
          subnetwork = google_compute_subnetwork.functions.name
        }
      }
      containers {
        image   = var.image
        command = ["/bin/plant"]
        args    = each.value.args
        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }
        dynamic "env" {
          for_each = merge(
            {
              INSTANCE_CONNECTION_NAME = local.shared_settings.INSTANCE_CONNECTION_NAME
              DB_NAME                  = local.shared_settings.DB_NAME
              DB_IAM_USER              = trimsuffix(local.runner[each.key], ".gserviceaccount.com")
            },
            each.key == "operator" ? {
              GOOGLE_CLOUD_PROJECT = var.project
              PLANT_ORIGIN         = var.origin
              PUBSUB_TOPIC         = google_pubsub_topic.events.name
              CHECKPOINT_BUCKET    = google_storage_bucket.checkpoints.name
              AMENDMENT_KEY        = local.secret_version["plant-amendment-key"]
              CERTIFICATION_KEY    = local.secret_version["plant-certification-key"]
              CHECKPOINT_KEY       = local.secret_version["plant-checkpoint-key"]
              HEADS_KEY            = local.secret_version["plant-heads-key"]
              JWT_KEYS             = local.secret_version["plant-jwt-keys"]
              TOKEN_ISSUER         = local.shared_settings.TOKEN_ISSUER
              TOKEN_AUDIENCE       = local.shared_settings.TOKEN_AUDIENCE
            } : {},
          )
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [template[0].template[0].containers[0].image, client, client_version]
  }
  depends_on = [google_project_iam_member.database, google_sql_user.user]
}

resource "google_cloud_run_v2_job_iam_member" "operators" {
  for_each = var.operators
  name     = google_cloud_run_v2_job.job["operator"].name
  location = var.region
  role     = "roles/run.jobsExecutorWithOverrides"
  member   = each.key
}
