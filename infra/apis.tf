resource "google_project_service" "api" {
  for_each = toset([
    "artifactregistry", "billingbudgets", "cloudbuild", "cloudscheduler", "compute", "firebase", "firebasehosting",
    "iam", "logging", "monitoring", "ondemandscanning", "pubsub", "redis", "run", "secretmanager",
    "servicenetworking", "sqladmin", "storage",
  ])
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

# Who read a secret is written down: the answer to "was the key taken?".
resource "google_project_iam_audit_config" "secrets" {
  project = var.project
  service = "secretmanager.googleapis.com"
  audit_log_config { log_type = "DATA_READ" }
}
