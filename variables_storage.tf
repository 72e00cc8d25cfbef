# How long things are kept, and what keeps them from being deleted.

variable "log_retention_days" {
  description = "Days that logs of the function and of the runs are kept in CloudWatch; log.txt in S3 stays."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653."
  }
}

variable "abort_uploads_days" {
  description = "Days after which what is left of an upload in parts that failed is removed; null keeps, and bills, it for ever."
  type        = number
  default     = 7

  validation {
    condition     = var.abort_uploads_days == null || try(var.abort_uploads_days >= 1, false)
    error_message = "abort_uploads_days must be 1 or more, or null."
  }
}

variable "expire_versions_days" {
  description = "Days after which replaced and deleted versions of objects expire; null keeps them for ever."
  type        = number
  default     = 90

  validation {
    condition     = var.expire_versions_days == null || try(var.expire_versions_days >= 1, false)
    error_message = "expire_versions_days must be 1 or more, or null."
  }
}

variable "expire_events_days" {
  description = "Days after which what versions without a ledger remembered of events in the results bucket goes; null keeps it for ever. The ledger forgets after 30."
  type        = number
  default     = 30

  validation {
    condition     = var.expire_events_days == null || try(var.expire_events_days >= 7, false) # an event may wait in a queue
    error_message = "expire_events_days must be 7 or more, or null."
  }
}

variable "expire_setups_days" {
  description = "Days after which what a job's setup-script left goes, so that it runs again; null keeps it for ever."
  type        = number
  default     = 30

  validation {
    condition     = var.expire_setups_days == null || try(var.expire_setups_days >= 1, false)
    error_message = "expire_setups_days must be 1 or more, or null."
  }
}

variable "force_destroy" {
  description = "Whether terraform destroy may delete the ledger, and buckets that still hold results and configurations."
  type        = bool
  default     = false
}
