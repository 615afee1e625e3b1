# Functions reach the database and Redis by private addresses, over Direct VPC
# egress, which costs nothing; Google's APIs are reached directly.
resource "google_compute_network" "plant" {
  name                    = "plant"
  auto_create_subnetworks = false
  depends_on              = [google_project_service.api]
}

resource "google_compute_subnetwork" "functions" {
  name                     = "plant-functions"
  network                  = google_compute_network.plant.id
  region                   = var.region
  ip_cidr_range            = "10.20.0.0/24" # each instance takes up to two, revisions overlap
  private_ip_google_access = true
}

resource "google_compute_global_address" "services" {
  name          = "plant-services"
  network       = google_compute_network.plant.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.plant.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
}
