project         = "my-plant"
project_number  = "123456789012"
image           = "us-central1-docker.pkg.dev/my-plant/plant/plant@sha256:0000000000000000000000000000000000000000000000000000000000000000"
origin          = "plant.example/1"
operators       = ["user:me@example.com"]
alert_email     = "me@example.com"
billing_account = "000000-000000-000000"
