resource "google_artifact_registry_repository" "plant" {
  repository_id = "plant"
  location      = var.region
  format        = "DOCKER"
  docker_config {
    immutable_tags = true
  }
  cleanup_policies {
    id     = "keep-the-last-ten"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }
  cleanup_policies {
    id     = "delete-after-a-month"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "2592000s"
    }
  }
  depends_on = [google_project_service.api]
}

# What gcloud builds submit uploads.
resource "google_storage_bucket" "source" {
  name                        = "${var.project}-plant-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  lifecycle_rule {
    action { type = "Delete" }
    condition { age = 7 }
  }
}

resource "google_storage_bucket_iam_member" "source" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${local.deploy}"
}

resource "google_artifact_registry_repository_iam_member" "deploy" {
  repository = google_artifact_registry_repository.plant.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = "serviceAccount:${local.deploy}"
}

# On the project there is no smaller thing to grant these on.
resource "google_project_iam_member" "deploy" {
  for_each = toset(["roles/logging.logWriter", "roles/ondemandscanning.admin", "roles/firebasehosting.admin"])
  project  = var.project
  role     = each.key
  member   = "serviceAccount:${local.deploy}"
}

# It deploys these services and this job, and can make no other.
resource "google_cloud_run_v2_service_iam_member" "deploy" {
  for_each = google_cloud_run_v2_service.function
  name     = each.value.name
  location = var.region
  role     = "roles/run.developer"
  member   = "serviceAccount:${local.deploy}"
}

resource "google_cloud_run_v2_job_iam_member" "deploy" {
  for_each = google_cloud_run_v2_job.job
  name     = each.value.name
  location = var.region
  role     = "roles/run.developer"
  member   = "serviceAccount:${local.deploy}"
}

resource "google_service_account_iam_member" "deploy" {
  for_each           = merge(local.account, local.runner)
  service_account_id = "projects/${var.project}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${local.deploy}"
}
