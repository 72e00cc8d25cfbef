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
  tags          = local.tags
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
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }

    bucket_key_enabled = var.kms_key_arn == null ? null : true # one call to KMS for many objects
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

# --- The ledger: one record of each run, and what is to be done about it --------------------------

resource "aws_dynamodb_table" "ledger" {
  name                        = "${var.name_prefix}-ledger"
  billing_mode                = "PAY_PER_REQUEST" # while nothing happens it costs what it stores
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = !var.force_destroy # as the buckets: destroy stops at what it holds
  tags                        = local.tags

  dynamic "attribute" {
    for_each = toset(["pk", "sk", "open", "kind"])

    content {
      name = attribute.value
      type = "S"
    }
  }

  # Sparse: an item is in it while it has the attribute.
  dynamic "global_secondary_index" {
    for_each = local.ledger_indexes

    content {
      name            = global_secondary_index.value
      hash_key        = global_secondary_index.value
      range_key       = "sk"
      projection_type = "ALL"
    }
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn[*] # else by a key of DynamoDB's own

    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}

locals {
  ledger_indexes = toset(["open", "kind"]) # the runs about which something is to be done; those that were planned
}

# --- Logs -----------------------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "function" {
  for_each = toset(["launch", "reap"])

  name              = "/aws/lambda/${var.name_prefix}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_cloudwatch_log_group" "iot" {
  name              = "/${var.name_prefix}/iot-errors"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_cloudwatch_log_group" "training" {
  name              = "/${var.name_prefix}/training"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

locals {
  # CreateLogStream, GetLogEvents and PutLogEvents act on a stream of the group (service
  # authorization reference, "Amazon CloudWatch Logs").
  log_resources = {
    for name, group in merge(aws_cloudwatch_log_group.function, { training = aws_cloudwatch_log_group.training, iot = aws_cloudwatch_log_group.iot }) :
    name => ["${group.arn}:*"]
  }
}

# --- Packaging: both functions' zips, the machine's supervisor ------------------------------------

locals {
  # The room of one function is not in the zip of the other; one hash does for both, which are built at once.
  zip = { for name in ["launch", "reap"] : name => "${path.module}/build/${name}.zip" }
  sources = sort(concat(
    tolist(fileset(path.module, "lambda/parris/**/*.py")),
    ["cloudformation/training-stack.yaml", "scripts/package_lambda.py", "trainer/runtime/user-data.sh"],
  ))
  agent_sources = sort(concat(tolist(fileset(path.module, "trainer/runtime/agent/*.py")), ["lambda/parris/__init__.py", "lambda/parris/contract.py", "scripts/package_lambda.py"]))
  # From the sources and not from what is made of them, which need not exist at plan time.
  hashes       = { for name, files in { functions = local.sources, agent = local.agent_sources } : name => base64sha256(join("\n", [for file in files : "${file} ${filesha256("${path.module}/${file}")}"])) }
  sources_hash = local.hashes["functions"]
  agent_hash   = local.hashes["agent"]
}

# Built whenever the provider reads the zips, which a fresh clone lacks: that is when one of these
# changes, as another name or path makes other functions (terraform-provider-aws,
# internal/service/lambda/function.go, needsFunctionCodeUpdate).
resource "terraform_data" "package" {
  triggers_replace = [local.sources_hash, local.agent_hash, var.architecture, var.name_prefix, local.zip]

  provisioner "local-exec" {
    command     = "python3 scripts/package_lambda.py"
    working_dir = path.module
  }
}

# --- The machine's supervisor ---------------------------------------------------------------------

# A launch copies this version of it to its run. The bucket keeps it when the next one is uploaded,
# for a function that has not been changed yet.
resource "aws_s3_object" "agent" {
  bucket      = aws_s3_bucket.store["results"].id
  key         = "agent.pyz"
  source      = "${path.module}/build/agent.pyz"
  source_hash = local.agent_hash

  depends_on = [
    terraform_data.package,
    # Without versioning it would have no version, and its encryption is that of its first moment.
    aws_s3_bucket_versioning.store,
    aws_s3_bucket_server_side_encryption_configuration.store,
  ]
}

# --- Notifications --------------------------------------------------------------------------------

resource "aws_sns_topic" "notification" {
  name              = "${var.name_prefix}-notifications"
  display_name      = "Parris"
  kms_master_key_id = var.kms_key_arn
  tags              = local.tags
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.notification_emails

  topic_arn = aws_sns_topic.notification.arn
  protocol  = "email" # AWS sends a message to confirm first
  endpoint  = each.value
}
