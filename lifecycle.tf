# --- What S3 deletes by itself in the two buckets ------------------------------------------------

resource "aws_s3_bucket_lifecycle_configuration" "store" {
  for_each = alltrue([for days in [var.abort_uploads_days, var.expire_versions_days, var.expire_events_days, var.expire_setups_days] : days == null]) ? {} : aws_s3_bucket.store

  bucket = each.value.id

  dynamic "rule" {
    for_each = var.abort_uploads_days[*]

    content {
      id     = "abort-uploads" # what is left of those that failed costs and is listed nowhere
      status = "Enabled"

      filter {}

      abort_incomplete_multipart_upload {
        days_after_initiation = rule.value
      }
    }
  }

  dynamic "rule" {
    for_each = var.expire_versions_days[*]

    content {
      id     = "expire-old-versions"
      status = "Enabled"

      filter {}

      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }
    }
  }

  dynamic "rule" {
    for_each = var.expire_events_days[*]

    content {
      id     = "forget-events" # what versions without a ledger left; no delivery is that late
      status = "Enabled"

      filter {
        prefix = "events/"
      }

      expiration {
        days = rule.value
      }
    }
  }

  dynamic "rule" {
    for_each = var.expire_setups_days[*]

    content {
      id     = "expire-setups" # the next run's setup script runs again, and is kept anew
      status = "Enabled"

      filter {
        prefix = "setups/"
      }

      expiration {
        days = rule.value
      }

      noncurrent_version_expiration { # nobody goes back to one
        noncurrent_days = 1
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.store]
}
