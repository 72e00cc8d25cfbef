# --- Who may assume the roles of this module ------------------------------------------------------

data "aws_iam_policy_document" "assume" {
  for_each = {
    launch   = "lambda.amazonaws.com"
    reap     = "lambda.amazonaws.com"
    stack    = "cloudformation.amazonaws.com"
    instance = local.ec2_principal
    iot      = "iot.amazonaws.com"
  }

  statement {
    sid     = "LetTheServiceAssumeIt"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = [each.value]
    }
  }
}

# --- CloudFormation: builds and deletes training stacks -------------------------------------------

locals {
  ec2_arn = "arn:${local.partition}:ec2:${local.region}:${local.account_id}"
  # Not the resource's attribute: policies need not wait for the group.
  schedule_group = var.name_prefix
}

data "aws_iam_policy_document" "stack" {
  source_policy_documents = [data.aws_iam_policy_document.more["stack"].json]

  statement {
    sid = "SeeTheNetwork"
    actions = [
      # What the schemas of the types that a template may have name (scripts/local/handler_permissions.json).
      "ec2:DescribeIamInstanceProfileAssociations",
      "ec2:DescribeInstanceAttribute",
      "ec2:DescribeInstanceCreditSpecifications",
      "ec2:DescribeInstances",
      "ec2:DescribeKeyPairs",
      "ec2:DescribeLaunchTemplateVersions",
      "ec2:DescribeLaunchTemplates",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeVolumes",
      "ec2:DescribeVpcs",
      # Parameters of a job's own template may be of AWS's types (CloudFormation user guide, "AWS-specific
      # parameter types"): AWS::EC2::Image::Id and the like, which CloudFormation checks.
      "ec2:DescribeAvailabilityZones",
      "ec2:DescribeImages",
    ]
    resources = ["*"] # EC2's describe actions take no resource
  }

  # What a launch makes is tagged with the deployment at birth, or not made: all that follows goes by
  # that tag, and nothing can give it to what is there already ("Grant permission to tag Amazon EC2
  # resources during creation", EC2 user guide).
  statement {
    sid       = "StartMachinesOfThisDeployment"
    actions   = ["ec2:RunInstances"]
    resources = [for type in ["instance", "volume"] : "${local.ec2_arn}:${type}/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid     = "StartThemWithWhatTheJobChooses"
    actions = ["ec2:RunInstances"]
    resources = concat(
      # Spot requests and interfaces come with the machine and end with it.
      [for type in ["key-pair", "network-interface", "security-group", "spot-instances-request", "subnet"] : "${local.ec2_arn}:${type}/*"],
      ["arn:${local.partition}:ec2:${local.region}::image/*"],
    )
  }

  statement {
    sid       = "StartThemFromOurTemplates"
    actions   = ["ec2:RunInstances"]
    resources = ["${local.ec2_arn}:launch-template/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "CreateOurTemplates"
    actions   = ["ec2:CreateLaunchTemplate"]
    resources = ["${local.ec2_arn}:launch-template/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid = "KeepOurTemplates"
    # DeleteTags: the schema of AWS::EC2::LaunchTemplate has it among what a deletion calls.
    actions   = ["ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate", "ec2:DeleteTags"]
    resources = ["${local.ec2_arn}:launch-template/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "TagWhatItMakes"
    actions   = ["ec2:CreateTags"]
    resources = [for type in ["instance", "volume", "network-interface", "spot-instances-request", "launch-template"] : "${local.ec2_arn}:${type}/*"]

    condition { # only as a part of these two calls, never on what is there already
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["CreateLaunchTemplate", "RunInstances"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    # Should CloudFormation tag its instance in a call of its own, after RunInstances: then nothing
    # but what was born ours, and never away from us.
    sid       = "TagOurMachines"
    actions   = ["ec2:CreateTags"]
    resources = ["${local.ec2_arn}:instance/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }

    condition {
      test     = "StringEqualsIfExists"
      variable = "aws:RequestTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "EndOurMachines"
    actions   = ["ec2:TerminateInstances"]
    resources = ["${local.ec2_arn}:instance/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "LetEc2StartTheFirstSpotMachine" # in an account that never had one
    actions   = ["iam:CreateServiceLinkedRole"]
    resources = ["arn:${local.partition}:iam::${local.account_id}:role/aws-service-role/spot.amazonaws.com/*"]

    condition {
      test     = "StringEquals"
      variable = "iam:AWSServiceName"
      values   = ["spot.amazonaws.com"]
    }
  }

  statement {
    sid       = "KeepOurSchedules"
    actions   = ["scheduler:CreateSchedule", "scheduler:GetSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"]
    resources = ["arn:${local.partition}:scheduler:${local.region}:${local.account_id}:schedule/${local.schedule_group}/*"]
  }

  statement {
    sid       = "GiveSchedulesTheirRole"
    actions   = ["iam:PassRole"]
    resources = [local.scheduler_role_arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["scheduler.amazonaws.com"]
    }
  }

  statement {
    sid       = "GiveMachinesTheirRole"
    actions   = ["iam:PassRole"]
    resources = concat([local.instance_role_arn], local.further_role_arns)

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = [local.ec2_principal]
    }
  }
}

resource "aws_iam_role" "stack" {
  count = var.stack_role_arn == null ? 1 : 0

  name                 = "${var.name_prefix}-stack-${local.region}"
  description          = "Parris: CloudFormation, while it builds and deletes training stacks."
  assume_role_policy   = data.aws_iam_policy_document.assume["stack"].json
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "stack" {
  count = var.stack_role_arn == null ? 1 : 0

  name   = "stack"
  role   = aws_iam_role.stack[0].id
  policy = data.aws_iam_policy_document.stack.json
}

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
}

data "aws_iam_policy_document" "instance" {
  source_policy_documents = [data.aws_iam_policy_document.more["instance"].json]

  # aws s3 cp --recursive lists what it copies, with a slash at the end. Its own folder is listed by
  # the agents of runs that began before an upgrade, by aws s3 sync.
  statement {
    sid       = "ListItsSourceAndItsOwn"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.store["results"].arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["runs/*/source/", "runs/*/${local.own_folder}/*"]
    }
  }

  statement {
    sid       = "ReadWhatARunStartsFrom"
    actions   = ["s3:GetObject"]
    resources = [for name in ["run.json", "agent.py*", "source/*"] : "${local.runs}/*/${name}"] # agent.py: launched before an upgrade, booting during it
  }

  statement {
    sid     = "StoreItsOwn"
    actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [
      for name in ["output/*", "checkpoints/*", "log.txt", "outcome.json"] : "${local.runs}/*/${local.own_folder}/${name}"
    ]
  }

  statement { # for the same reason: what another machine stored may be called source/… or run.json
    sid       = "ReadNothingThatAMachineStored"
    effect    = "Deny"
    actions   = ["s3:GetObject"]
    resources = ["${local.runs}/*/*/machines/*"]
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
