package main

// Prices in US dollars, us-central1, as listed on ratesAsOf. A month is 730 hours.
// Every line names the page it is from.
const ratesAsOf = "2026-11-23"

const (
	cloudRunPage   = "https://cloud.google.com/run/pricing"
	cloudSQLPage   = "https://cloud.google.com/sql/pricing"
	redisPage      = "https://cloud.google.com/memorystore/docs/redis/pricing"
	pubsubPage     = "https://cloud.google.com/pubsub/pricing"
	secretsPage    = "https://cloud.google.com/secret-manager/pricing" // #nosec -- the address of a page
	storagePage    = "https://cloud.google.com/storage/pricing"
	registryPage   = "https://cloud.google.com/artifact-registry/pricing"
	scanPage       = "https://cloud.google.com/artifact-analysis/pricing"
	buildPage      = "https://cloud.google.com/build/pricing"
	observePage    = "https://cloud.google.com/stackdriver/pricing"
	schedulerPage  = "https://cloud.google.com/scheduler/pricing"
	networkingPage = "https://cloud.google.com/vpc/network-pricing"
	hostingPage    = "https://firebase.google.com/pricing"
)

// rate is the price of a unit above what is free each month.
type rate struct {
	USD  float64
	Free float64
	Page string
}

// rates are those of everything a deployment uses.
func rates() map[string]rate {
	return map[string]rate{
		"vCPU-s":            {0.000024, 180_000, cloudRunPage},
		"GiB-s":             {0.0000025, 360_000, cloudRunPage},
		"requests":          {0.40 / 1e6, 2e6, cloudRunPage},
		"db-f1-micro":       {7.67, 0, cloudSQLPage},
		"db-g1-small":       {25.55, 0, cloudSQLPage},
		"database GB":       {0.17, 0, cloudSQLPage},
		"backup GB":         {0.08, 0, cloudSQLPage},
		"Redis Basic GB":    {35.77, 0, redisPage},
		"Pub/Sub TiB":       {40, 10.0 / 1024, pubsubPage},
		"secret versions":   {0.06, 6, secretsPage},
		"secret reads":      {0.03 / 1e4, 1e4, secretsPage},
		"bucket writes":     {0.005 / 1e3, 0, storagePage},
		"image GB":          {0.10, 0.5, registryPage},
		"image scans":       {0.26, 0, scanPage},
		"build minutes":     {0.006, 2500, buildPage},
		"log GiB":           {0.50, 50, observePage},
		"alert conditions":  {0.10, 0, observePage}, // announced at 1.50 before
		"alert time series": {0.35 / 1e6, 0, observePage},
		"scheduler jobs":    {0.10, 3, schedulerPage},
		"egress GiB":        {0.12, 1, networkingPage},
		"hosting GB":        {0.15, 10, hostingPage},
	}
}

// free are the types of resources that cost nothing by themselves, or whose use
// is counted elsewhere. A type that is neither here nor priced fails the test:
// nothing is added to infra/ without its price being thought of.
func free() []string {
	return []string{
		"google_artifact_registry_repository_iam_member", "google_billing_budget", "google_cloud_run_v2_job_iam_member",
		"google_cloud_run_v2_service_iam_member", "google_compute_global_address", "google_compute_network", "google_compute_subnetwork",
		"google_logging_project_bucket_config", "google_logging_project_exclusion", "google_monitoring_dashboard",
		"google_monitoring_notification_channel", "google_project_iam_audit_config", "google_project_iam_member", "google_project_service",
		"google_pubsub_subscription_iam_member", "google_pubsub_topic_iam_member", "google_secret_manager_secret_iam_member",
		"google_secret_manager_secret_version", "google_service_account", "google_service_account_iam_member",
		"google_service_networking_connection", "google_sql_database", "google_sql_user", "google_storage_bucket_iam_member",
	}
}

// priced are the types that bill and counts.
func priced() []string {
	return []string{
		"google_artifact_registry_repository", "google_cloud_run_v2_job", "google_cloud_run_v2_service", "google_cloud_scheduler_job",
		"google_monitoring_alert_policy", "google_pubsub_subscription", "google_pubsub_topic", "google_redis_instance",
		"google_secret_manager_secret", "google_sql_database_instance", "google_storage_bucket",
	}
}
