# --- EventBridge Scheduler: deletes a stack at its deadline, launches when data has settled ---------

# A group of its own, as `name-*` in the common one would also be the schedules of `name-2`.
resource "aws_scheduler_schedule_group" "run" {
  name = local.schedule_group
  tags = local.tags
}

data "aws_iam_policy_document" "assume_scheduler" {
  statement {
    sid     = "LetSchedulesOfThisAccountAssumeIt"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition { # the confused deputy (EventBridge Scheduler user guide)
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    sid       = "DeleteOurStacks"
    actions   = ["cloudformation:DeleteStack"]
    resources = ["*"] # the stack's name is the job's, so the grant goes by tag

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "LaunchWhenDataHasSettled"
    actions   = ["lambda:InvokeFunction"]
    resources = [local.launch_function_arn]
  }
}

resource "aws_iam_role" "scheduler" {
  count = var.scheduler_role_arn == null ? 1 : 0

  name                 = "${var.name_prefix}-scheduler-${local.region}"
  description          = "Parris: EventBridge Scheduler, at the deadline of a run."
  assume_role_policy   = data.aws_iam_policy_document.assume_scheduler.json
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "scheduler" {
  count = var.scheduler_role_arn == null ? 1 : 0

  name   = "scheduler"
  role   = aws_iam_role.scheduler[0].id
  policy = data.aws_iam_policy_document.scheduler.json
}

# --- Training machines: read their run, write its results -----------------------------------------

locals {
  runs = "${aws_s3_bucket.store["results"].arn}/runs"
  # For a machine, aws:userid is "<role id>:<instance id>" (IAM user guide, "IAM policy elements:
  # Variables and tags", "Principal key values"): no other machine has it, and none can choose it.
  own_folder = "machines/&{aws:userid}"
  # "*" also matches "/": with a run's id before it, source/ is a run's own, and none in an output.
  run_ids = ["????????-??????-????????", "r-????????????????"]
}

data "aws_iam_policy_document" "instance" {
  source_policy_documents = [
    data.aws_iam_policy_document.more["instance"].json,
    data.aws_iam_policy_document.inputs.json,
  ]

  # aws s3 cp and sync list what they copy, with a slash at the end: its source, and the folder of the
  # machine that its run goes on from. Those of older versions have their checkpoints right below a run.
  statement {
    sid       = "ListWhatARunStartsFrom"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.store["results"].arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["runs/*/source/", "runs/*/checkpoints/", "runs/*/machines/*/"]
    }
  }

  statement {
    sid     = "ReadWhatARunStartsFrom"
    actions = ["s3:GetObject"]
    resources = flatten([
      "${aws_s3_bucket.store["results"].arn}/setups/*", # by the word of a machine of its own job
      [for run in local.run_ids : [                     # agent.py: launched before an upgrade, booting during it
        for name in ["run.json", "agent.py*", "source/*", "checkpoints/*", "machines/*"] : "${local.runs}/*/${run}/${name}"
      ]],
    ])
  }

  # A checkpoint that was half-written when its machine vanished has a whole version before it (whole.py).
  statement {
    sid       = "ListVersionsOfCheckpoints"
    actions   = ["s3:ListBucketVersions"]
    resources = [aws_s3_bucket.store["results"].arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["runs/*/machines/*/checkpoints/"]
    }
  }

  statement {
    sid       = "ReadVersionsOfCheckpoints"
    actions   = ["s3:GetObjectVersion"]
    resources = [for run in local.run_ids : "${local.runs}/*/${run}/machines/*/checkpoints/*"]
  }

  statement {
    sid     = "StoreItsOwn"
    actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = concat(["${aws_s3_bucket.store["results"].arn}/setups/&{aws:userid}/*"], [
      for name in ["output/*", "checkpoints/*", "log.txt", "outcome.json", "alive.json", "whole.json", "packages.txt", "metrics.json", "machine.jsonl", "setup.json"] : "${local.runs}/*/${local.own_folder}/${name}"
    ])
  }

  statement { # "*" also matches "/": without this, a folder of its own inside another's source or output
    sid       = "KeepItsFolderRightBelowARun"
    effect    = "Deny"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.runs}/*/*/*/${local.own_folder}/*"]
  }

  statement {
    sid       = "StreamTheLog" # of whose name the last part is a secret of the run
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = local.log_resources["training"]
  }
}

# What jobs have fetched for them, and who may look in: nothing of it by default.
locals {
  secrets = {
    "ssm:GetParameter"              = sort([for arn in var.secret_arns : arn if split(":", arn)[2] == "ssm"])
    "secretsmanager:GetSecretValue" = sort([for arn in var.secret_arns : arn if split(":", arn)[2] == "secretsmanager"])
    "kms:Decrypt"                   = sort([for arn in var.secret_arns : arn if split(":", arn)[2] == "kms"])
  }
  data_objects = sort([for uri in var.data_sources : "arn:${local.partition}:s3:::${trimprefix(uri, "s3://")}${endswith(uri, "/") ? "*" : ""}"])
  data_prefixes = { # by bucket; what is one object is not listed
    for uri in sort([for uri in var.data_sources : uri if endswith(uri, "/")]) : split("/", uri)[2] => "${join("/", slice(split("/", uri), 3, length(split("/", uri))))}*"...
  }
}

data "aws_iam_policy_document" "inputs" {
  dynamic "statement" {
    for_each = { for action, arns in local.secrets : action => arns if length(arns) > 0 }

    content {
      sid       = replace(title(replace(statement.key, ":", " ")), " ", "")
      actions   = [statement.key]
      resources = statement.value

      dynamic "condition" { # nothing else that is under such a key
        for_each = statement.key == "kms:Decrypt" ? [1] : []

        content {
          test     = "StringEquals"
          variable = "kms:ViaService"
          values   = [for service in ["ssm", "secretsmanager"] : "${service}.${local.region}.${data.aws_partition.current.dns_suffix}"]
        }
      }
    }
  }

  dynamic "statement" {
    for_each = length(local.data_objects) == 0 ? [] : [local.data_objects]

    content {
      sid       = "ReadData"
      actions   = ["s3:GetObject"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = local.data_prefixes

    content {
      sid       = "ListData${substr(sha256(statement.key), 0, 8)}"
      actions   = ["s3:ListBucket"]
      resources = ["arn:${local.partition}:s3:::${statement.key}"]

      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = statement.value
      }
    }
  }

  # AWS Systems Manager user guide, "Add Session Manager permissions to an existing IAM role".
  dynamic "statement" {
    for_each = var.shell ? [1] : []

    content {
      sid = "TakeSessions"
      actions = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
      ]
      resources = ["*"] # those of ssmmessages take none; a machine tells of itself alone
    }
  }
}

resource "aws_iam_role" "instance" {
  count = var.instance_profile_name == null ? 1 : 0

  name                 = "${var.name_prefix}-instance-${local.region}"
  description          = "Parris: training machines."
  assume_role_policy   = data.aws_iam_policy_document.assume["instance"].json
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "instance" {
  count = var.instance_profile_name == null ? 1 : 0

  name   = "instance"
  role   = aws_iam_role.instance[0].id
  policy = data.aws_iam_policy_document.instance.json
}

resource "aws_iam_role_policy_attachment" "instance" {
  for_each = var.instance_policy_arns

  role       = aws_iam_role.instance[0].name
  policy_arn = each.value
}

resource "aws_iam_instance_profile" "instance" {
  count = var.instance_profile_name == null ? 1 : 0

  name = aws_iam_role.instance[0].name
  role = aws_iam_role.instance[0].name
  path = var.iam_path
  tags = local.tags
}
