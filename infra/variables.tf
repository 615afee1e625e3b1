variable "project" {
  description = "Project id. Everything lives in one project of its own."
  type        = string
}

variable "project_number" {
  description = "The project's number: gcloud projects describe PROJECT --format='value(projectNumber)'. Google's own accounts are named after it."
  type        = string
  validation {
    condition     = can(regex("^[0-9]+$", var.project_number))
    error_message = "The project's number is digits only; the id goes into var.project."
  }
}

variable "region" {
  description = "One region for everything. Prices in the price test are those of us-central1."
  type        = string
  default     = "us-central1"
}

variable "size" {
  description = "lab: the smallest thing that works, no Redis. team: with Redis, under $100 a month."
  type        = string
  validation {
    condition     = contains(["lab", "team"], var.size)
    error_message = "Sizes are lab and team; GROWTH.md says what comes after."
  }
}

variable "image" {
  description = "The image by digest, as make image PUSH=… prints it. Later deployments are Cloud Build's."
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest (…@sha256:…): a tag can be moved."
  }
}

variable "serve" {
  description = "False until the database is migrated and the keys exist: a function refuses to start without them."
  type        = bool
  default     = true
}

variable "origin" {
  description = "PLANT_ORIGIN: the deployment's name in every record and checkpoint. Never change it."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9.-]+/[0-9]+$", var.origin))
    error_message = "An origin looks like plant.example/1."
  }
}

variable "cors_origins" {
  description = "Browser pages that may call the API, each as https://host."
  type        = list(string)
  default     = []
}

variable "key_versions" {
  description = "Which version of its secret each key starts from; after a rotation, the version that plant keys rotate printed."
  type        = map(number)
  default     = {}
}

variable "operators" {
  description = "Who may run the command line in the cloud: user:… or group:…"
  type        = set(string)
  validation {
    condition     = length(var.operators) > 0 && alltrue([for o in var.operators : can(regex("^(user|group):", o))])
    error_message = "Operators are people: user:… or group:…"
  }
}

variable "alert_email" {
  description = "Whom alerts reach."
  type        = string
}

variable "billing_account" {
  description = "For the budget: gcloud billing accounts list."
  type        = string
}

variable "postgres_version" {
  description = "Cloud SQL's name of the PostgreSQL version; 16 is the oldest that Plant supports."
  type        = string
  default     = "POSTGRES_18"
  validation {
    condition     = can(regex("^POSTGRES_(1[6-9]|[2-9][0-9])$", var.postgres_version))
    error_message = "PostgreSQL 16 or newer."
  }
}

variable "lock_checkpoints" {
  description = "Lock the retention of the checkpoint bucket. Nobody can ever undo it, which is its purpose; false only for a trial."
  type        = bool
  default     = true
}
