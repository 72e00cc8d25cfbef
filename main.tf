# --- Buckets: the jobs as people upload them, the runs as they happened -------------------------

locals {
  buckets = {
    config  = "${var.name_prefix}-config-${local.account_id}-${local.region}"
    results = "${var.name_prefix}-results-${local.account_id}-${local.region}"
  }
}

resource "aws_s3_bucket" "store" {
  for_each = local.buckets

  bucket        = each.value
  force_destroy = var.force_destroy # false: destroy stops at a bucket that is not empty
}

resource "aws_s3_bucket_versioning" "store" {
  for_each = aws_s3_bucket.store

  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "store" {
  for_each = aws_s3_bucket.store

  bucket = each.value.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "store" {
  for_each = aws_s3_bucket.store

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

data "aws_iam_policy_document" "tls_only" {
  for_each = aws_s3_bucket.store

  statement {
    sid       = "RefusePlainHttp"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "store" {
  for_each = aws_s3_bucket.store

  bucket = each.value.id
  policy = data.aws_iam_policy_document.tls_only[each.key].json
}

resource "aws_s3_bucket_lifecycle_configuration" "store" {
  for_each = var.expire_versions_days == null ? {} : aws_s3_bucket.store

  bucket = each.value.id

  rule {
    id     = "expire-old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.expire_versions_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "forget-events" # what was told and what had come; no delivery is that late
    status = "Enabled"

    filter {
      prefix = "events/"
    }

    expiration {
      days = 30
    }
  }

  depends_on = [aws_s3_bucket_versioning.store]
}

# --- Logs -----------------------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "function" {
  for_each = toset(["launch", "reap"])

  name              = "/aws/lambda/${var.name_prefix}-${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "iot" {
  name              = "/${var.name_prefix}/iot-errors"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "training" {
  name              = "/${var.name_prefix}/training"
  retention_in_days = var.log_retention_days
}

# --- The launch function --------------------------------------------------------------------------

locals {
  # What no launch imports is not in its zip; one hash does for both, which are built at once.
  zip = { for name in ["launch", "reap"] : name => "${path.module}/build/${name}.zip" }
  sources = sort(concat(
    tolist(fileset(path.module, "lambda/parris/*.py")),
    ["cloudformation/training-stack.yaml", "scripts/package_lambda.py", "trainer/runtime/agent.py", "trainer/runtime/user-data.sh"],
  ))
  # Not the resource's attribute, which its own environment cannot hold.
  launch_function_arn = "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function:${var.name_prefix}-launch"
  # From the sources and not from the zip, which need not exist at plan time.
  sources_hash = base64sha256(join("\n", [for file in local.sources : "${file} ${filesha256("${path.module}/${file}")}"]))
}

resource "terraform_data" "package" {
  triggers_replace = local.sources_hash

  provisioner "local-exec" {
    command     = "python3 scripts/package_lambda.py"
    working_dir = path.module
  }
}

resource "aws_lambda_function" "launch" {
  function_name    = "${var.name_prefix}-launch"
  description      = "Parris: turns an event into a training stack."
  filename         = local.zip["launch"]
  source_code_hash = local.sources_hash
  handler          = "parris.handlers.launch"
  runtime          = "python3.13"
  architectures    = [var.architecture]
  role             = local.launch_role_arn
  memory_size      = 1024 # CPU comes with memory: half of it doubles the cold start
  timeout          = 60

  environment {
    variables = {
      PARRIS_DEPLOYMENT          = var.name_prefix
      PARRIS_CONFIG_BUCKET       = aws_s3_bucket.store["config"].id
      PARRIS_RESULTS_BUCKET      = aws_s3_bucket.store["results"].id
      PARRIS_STACK_ROLE_ARN      = aws_iam_role.stack.arn
      PARRIS_INSTANCE_PROFILES   = join(",", concat([aws_iam_instance_profile.instance.name], sort(var.instance_role_names)))
      PARRIS_TRAINING_LOG_GROUP  = aws_cloudwatch_log_group.training.name
      PARRIS_SCHEDULER_ROLE_ARN  = aws_iam_role.scheduler.arn
      PARRIS_MAX_RUN_HOURS       = tostring(var.max_run_hours)
      PARRIS_MAX_CONCURRENT_RUNS = tostring(var.max_concurrent_runs)
      PARRIS_GRACE_MINUTES       = tostring(var.grace_minutes)
      PARRIS_STACK_TAGS          = jsonencode(var.tags)
      PARRIS_TOPIC_ARN           = aws_sns_topic.notification.arn
      PARRIS_BUTTONS             = jsonencode({ actions = var.button_actions, jobs = var.button_jobs })
      PARRIS_DATA_TRIGGERS       = jsonencode(var.data_triggers)
      PARRIS_LAUNCH_FUNCTION_ARN = local.launch_function_arn
    }
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function["launch"].name
  }

  depends_on = [terraform_data.package, aws_iam_role_policy.launch]
}

resource "aws_lambda_function_event_invoke_config" "launch" {
  function_name                = aws_lambda_function.launch.function_name
  maximum_retry_attempts       = 0 # Lambda's default, 2, could mean more launches than one
  maximum_event_age_in_seconds = 3600

  destination_config {
    on_failure {
      destination = aws_lambda_function.reap.arn # which notifies in words, once
    }
  }

  depends_on = [aws_iam_role_policy.launch] # the API checks that the role may invoke
}

# --- Notifications --------------------------------------------------------------------------------

resource "aws_sns_topic" "notification" {
  name         = "${var.name_prefix}-notifications"
  display_name = "Parris"
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.notification_emails

  topic_arn = aws_sns_topic.notification.arn
  protocol  = "email" # AWS sends a message to confirm first
  endpoint  = each.value
}
