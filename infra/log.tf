# Checkpoints outlive the database and everybody's rights: the retention lock lets
# nobody delete or overwrite one, project owners included.
resource "google_storage_bucket" "checkpoints" {
  name                        = "${var.project}-plant-checkpoints"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  retention_policy {
    retention_period = 315360000 # ten years
    is_locked        = var.lock_checkpoints
  }
  lifecycle {
    prevent_destroy = true
  }
}

# The sequencer creates and reads; it can neither overwrite nor delete.
resource "google_storage_bucket_iam_member" "sequencer" {
  for_each = toset(["roles/storage.objectCreator", "roles/storage.objectViewer"])
  bucket   = google_storage_bucket.checkpoints.name
  role     = each.key
  member   = "serviceAccount:${local.account["audit-run"]}"
}

# The operator compares a restored database with what was published.
resource "google_storage_bucket_iam_member" "operator" {
  bucket = google_storage_bucket.checkpoints.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${local.runner["operator"]}"
}
