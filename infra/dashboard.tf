locals {
  tiles = [
    { title = "Requests a second", filter = "${local.run} AND metric.type=\"run.googleapis.com/request_count\"", by = "resource.label.service_name", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM" },
    { title = "Failed requests a second", filter = "${local.run} AND metric.type=\"run.googleapis.com/request_count\" AND metric.label.response_code_class=\"5xx\"", by = "resource.label.service_name", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM" },
    { title = "Latency, 95th percentile, ms", filter = "${local.run} AND metric.type=\"run.googleapis.com/request_latencies\"", by = "resource.label.service_name", aligner = "ALIGN_PERCENTILE_95", reducer = "REDUCE_MAX" },
    { title = "Instances", filter = "${local.run} AND metric.type=\"run.googleapis.com/container/instance_count\"", by = "resource.label.service_name", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM" },
    { title = "Events waiting", filter = "resource.type=\"pubsub_subscription\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\"", by = "resource.label.subscription_id", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Database: connections", filter = "resource.type=\"cloudsql_database\" AND metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\"", by = "metric.label.database", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM" },
    { title = "Database: processor", filter = "resource.type=\"cloudsql_database\" AND metric.type=\"cloudsql.googleapis.com/database/cpu/utilization\"", by = "resource.label.database_id", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Database: disk, bytes", filter = "resource.type=\"cloudsql_database\" AND metric.type=\"cloudsql.googleapis.com/database/disk/bytes_used\"", by = "resource.label.database_id", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
  ]
}

resource "google_monitoring_dashboard" "plant" {
  dashboard_json = jsonencode({
    displayName = "Plant"
    mosaicLayout = {
      columns = 48
      tiles = [for i, t in local.tiles : {
        xPos = (i % 2) * 24, yPos = floor(i / 2) * 16, width = 24, height = 16
        widget = {
          title = t.title
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter      = t.filter
                  aggregation = { alignmentPeriod = "300s", perSeriesAligner = t.aligner, crossSeriesReducer = t.reducer, groupByFields = [t.by] }
                }
              }
            }]
          }
        }
      }]
    }
  })
  depends_on = [google_project_service.api]
}
