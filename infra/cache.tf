# Redis is only a cache for embeddings: the size lab does without.
resource "google_redis_instance" "cache" {
  count                   = local.size.redis_gb > 0 ? 1 : 0
  name                    = "plant"
  region                  = var.region
  tier                    = "BASIC"
  memory_size_gb          = local.size.redis_gb
  redis_version           = "REDIS_7_2"
  authorized_network      = google_compute_network.plant.id
  connect_mode            = "PRIVATE_SERVICE_ACCESS"
  auth_enabled            = true
  transit_encryption_mode = "DISABLED" # inside the private network; vectors of texts, no secrets
  redis_configs = {
    maxmemory-policy = "allkeys-lru"
  }
  depends_on = [google_service_networking_connection.services]
}

# Its address holds its password, so functions get it from Secret Manager.
resource "google_secret_manager_secret" "redis" {
  count     = local.size.redis_gb > 0 ? 1 : 0
  secret_id = "plant-redis-url"
  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_version" "redis" {
  count       = local.size.redis_gb > 0 ? 1 : 0
  secret      = google_secret_manager_secret.redis[0].id
  secret_data = "redis://:${google_redis_instance.cache[0].auth_string}@${google_redis_instance.cache[0].host}:${google_redis_instance.cache[0].port}/0"
}

resource "google_secret_manager_secret_iam_member" "redis" {
  count     = local.size.redis_gb > 0 ? 1 : 0
  secret_id = google_secret_manager_secret.redis[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${local.account["embed"]}"
}
