# --- The launch function: reads jobs, writes receipts, asks CloudFormation for stacks -------------

locals {
  launch_role_arn = coalesce(var.lambda_role_arn, one(aws_iam_role.launch[*].arn))
  # CreateLogStream acts on the group, PutLogEvents on a stream of it (service authorization
  # reference, "Amazon CloudWatch Logs").
  log_resources = {
    for name, group in merge(aws_cloudwatch_log_group.function, { training = aws_cloudwatch_log_group.training, iot = aws_cloudwatch_log_group.iot }) :
    name => [group.arn, "${group.arn}:*"]
  }
  receipt_objects = [for name in ["run.json", "agent.py", "source/*"] : "${aws_s3_bucket.store["results"].arn}/runs/*/${name}"]
}

data "aws_iam_policy_document" "assume" {
  for_each = {
    launch   = "lambda.amazonaws.com"
    reap     = "lambda.amazonaws.com"
    stack    = "cloudformation.amazonaws.com"
    instance = "ec2.amazonaws.com"
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

data "aws_iam_policy_document" "launch" {
  statement {
    sid       = "ReadJobs"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.store["config"].arn}/*"]
  }

  statement {
    sid       = "ListJobsAndRuns" # without it S3 answers 403 where 404 is meant
    actions   = ["s3:ListBucket"]
    resources = [for bucket in aws_s3_bucket.store : bucket.arn]
  }

  statement {
    sid       = "WriteWhatARunStartsFrom"
    actions   = ["s3:PutObject"]
    resources = local.receipt_objects
  }

  statement {
    sid       = "ReadReceiptsAndOutcomes"
    actions   = ["s3:GetObject"]
    resources = [for name in ["run.json", "outcome.json"] : "${aws_s3_bucket.store["results"].arn}/runs/*/${name}"]
  }

  statement {
    sid       = "ReadPublicImageParameters"
    actions   = ["ssm:GetParameter"]
    resources = ["arn:${local.partition}:ssm:${local.region}:*:parameter/aws/service/*"] # AWS's own; nobody else can write below /aws/
  }

  statement {
    sid       = "CreateOurStacks"
    actions   = ["cloudformation:CreateStack", "cloudformation:TagResource"]
    resources = ["*"] # the stack's name is the job's, so the grant goes by tag

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "UpdateOurStacks"
    actions   = ["cloudformation:UpdateStack"]
    resources = ["*"] # as above

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "WithdrawOurStacks" # one launch too many at the same moment
    actions   = ["cloudformation:DeleteStack"]
    resources = ["*"] # as above

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "SeeWhatIsInTheWay"
    actions   = ["cloudformation:DescribeStacks"]
    resources = ["*"] # a stack of that name need not be ours; this is how the refusal can say so
  }

  statement {
    sid       = "ReadPrices"
    actions   = ["pricing:GetProducts", "ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets"]
    resources = ["*"] # none of the three takes a resource
  }

  statement {
    sid       = "LetCloudFormationBuildTheStack"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.stack.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["cloudformation.amazonaws.com"]
    }
  }

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = local.log_resources["launch"]
  }

  statement {
    sid       = "Notify"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.notification.arn]
  }

  statement {
    sid       = "HandOverFailures" # to its destination
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.reap.arn]
  }

  statement {
    sid       = "RememberEvents"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/events/*"]
  }

  statement {
    sid       = "EndSettleWindows"
    actions   = ["scheduler:CreateSchedule"]
    resources = ["arn:${local.partition}:scheduler:${local.region}:${local.account_id}:schedule/default/${var.name_prefix}-data-*"]
  }

  statement {
    sid       = "LetSchedulerLaunch"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.scheduler.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["scheduler.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "launch" {
  count = var.lambda_role_arn == null ? 1 : 0

  name               = "${var.name_prefix}-launch-${local.region}"
  description        = "Parris: the launch function."
  assume_role_policy = data.aws_iam_policy_document.assume["launch"].json
}

resource "aws_iam_role_policy" "launch" {
  count = var.lambda_role_arn == null ? 1 : 0

  name   = "launch"
  role   = aws_iam_role.launch[0].id
  policy = data.aws_iam_policy_document.launch.json
}

# --- CloudFormation: builds and deletes training stacks -------------------------------------------

data "aws_iam_policy_document" "stack" {
  statement {
    sid       = "SeeTheNetwork"
    actions   = ["ec2:Describe*"]
    resources = ["*"] # EC2's describe actions take no resource
  }

  statement {
    sid       = "StartMachines"
    actions   = ["ec2:RunInstances"]
    resources = ["*"] # image, subnet, group, key, volume and interface are the job's choice
  }

  statement {
    sid = "KeepLaunchTemplates"
    actions = [
      "ec2:CreateLaunchTemplate",
      "ec2:CreateLaunchTemplateVersion",
      "ec2:DeleteLaunchTemplate",
      "ec2:GetLaunchTemplateData",
      "ec2:ModifyLaunchTemplate",
    ]
    resources = ["arn:${local.partition}:ec2:${local.region}:${local.account_id}:launch-template/*"]
  }

  statement {
    sid       = "TagWhatItStarts"
    actions   = ["ec2:CreateTags", "ec2:DeleteTags"]
    resources = [for type in ["instance", "volume", "launch-template"] : "arn:${local.partition}:ec2:${local.region}:${local.account_id}:${type}/*"]
  }

  statement {
    sid       = "EndOurMachines"
    actions   = ["ec2:TerminateInstances", "ec2:StopInstances", "ec2:ModifyInstanceAttribute"]
    resources = ["arn:${local.partition}:ec2:${local.region}:${local.account_id}:instance/*"]

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
    resources = ["arn:${local.partition}:scheduler:${local.region}:${local.account_id}:schedule/default/${var.name_prefix}-*"]
  }

  statement {
    sid       = "GiveSchedulesTheirRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.scheduler.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["scheduler.amazonaws.com"]
    }
  }

  statement {
    sid     = "GiveMachinesTheirRole"
    actions = ["iam:PassRole"]
    resources = concat(
      [aws_iam_role.instance.arn],
      [for name in var.instance_role_names : "arn:${local.partition}:iam::${local.account_id}:role/${name}"],
    )

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "stack" {
  name               = "${var.name_prefix}-stack-${local.region}"
  description        = "Parris: CloudFormation, while it builds and deletes training stacks."
  assume_role_policy = data.aws_iam_policy_document.assume["stack"].json
}

resource "aws_iam_role_policy" "stack" {
  name   = "stack"
  role   = aws_iam_role.stack.id
  policy = data.aws_iam_policy_document.stack.json
}

# --- The reap function: reads runs, deletes our stacks, writes outcomes ---------------------------

data "aws_iam_policy_document" "reap" {
  statement {
    sid       = "SeeStacksAndMachines"
    actions   = ["cloudformation:DescribeStacks", "cloudformation:DescribeStackEvents", "ec2:DescribeInstances"]
    resources = ["*"] # listings take no resource; what is not ours is told by its tag and left
  }

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
    sid       = "ReadConsoles"
    actions   = ["ec2:GetConsoleOutput"]
    resources = ["arn:${local.partition}:ec2:${local.region}:${local.account_id}:instance/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "ListRuns" # without it S3 answers 403 where 404 is meant
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.store["results"].arn]
  }

  statement {
    sid       = "ReadReceiptsAndOutcomes"
    actions   = ["s3:GetObject"]
    resources = [for name in ["run.json", "outcome.json", "log.txt"] : "${aws_s3_bucket.store["results"].arn}/runs/*/${name}"]
  }

  statement {
    sid       = "WriteOutcomes"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/runs/*/outcome.json"]
  }

  statement {
    sid       = "ReadLastLogLines"
    actions   = ["logs:GetLogEvents"]
    resources = local.log_resources["training"]
  }

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = local.log_resources["reap"]
  }

  statement {
    sid       = "Notify"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.notification.arn]
  }

  statement {
    sid       = "RememberEvents"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/events/*"]
  }

  statement {
    sid       = "StartWhatWaits"
    actions   = ["lambda:InvokeFunction"]
    resources = [local.launch_function_arn]
  }

  statement {
    sid       = "SayWhatMessagesStartedNothing"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = local.log_resources["iot"]
  }
}

resource "aws_iam_role" "reap" {
  name               = "${var.name_prefix}-reap-${local.region}"
  description        = "Parris: the reap function."
  assume_role_policy = data.aws_iam_policy_document.assume["reap"].json
}

resource "aws_iam_role_policy" "reap" {
  name   = "reap"
  role   = aws_iam_role.reap.id
  policy = data.aws_iam_policy_document.reap.json
}

# --- EventBridge Scheduler: deletes a stack at its deadline, launches when data has settled ---------

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
  name               = "${var.name_prefix}-scheduler-${local.region}"
  description        = "Parris: EventBridge Scheduler, at the deadline of a run."
  assume_role_policy = data.aws_iam_policy_document.assume_scheduler.json
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "scheduler"
  role   = aws_iam_role.scheduler.id
  policy = data.aws_iam_policy_document.scheduler.json
}

# --- AWS IoT: says why a message started nothing --------------------------------------------------

data "aws_iam_policy_document" "iot" {
  statement {
    sid       = "WriteWhatWentWrong"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = local.log_resources["iot"]
  }
}

resource "aws_iam_role" "iot" {
  name               = "${var.name_prefix}-iot-${local.region}"
  description        = "Parris: the topic rule's error action."
  assume_role_policy = data.aws_iam_policy_document.assume["iot"].json
}

resource "aws_iam_role_policy" "iot" {
  name   = "iot"
  role   = aws_iam_role.iot.id
  policy = data.aws_iam_policy_document.iot.json
}

# --- Training machines: read their run, write its results -----------------------------------------

data "aws_iam_policy_document" "instance" {
  statement {
    sid       = "ListRuns"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.store["results"].arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["runs/*"]
    }
  }

  statement {
    sid       = "ReadRuns"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/runs/*"]
  }

  statement {
    sid     = "StoreResults"
    actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [
      for name in ["output/*", "checkpoints/*", "log.txt", "outcome.json"] : "${aws_s3_bucket.store["results"].arn}/runs/*/${name}"
    ]
  }

  statement {
    sid       = "StreamTheLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = local.log_resources["training"]
  }
}

resource "aws_iam_role" "instance" {
  name               = "${var.name_prefix}-instance-${local.region}"
  description        = "Parris: training machines."
  assume_role_policy = data.aws_iam_policy_document.assume["instance"].json
}

resource "aws_iam_role_policy" "instance" {
  name   = "instance"
  role   = aws_iam_role.instance.id
  policy = data.aws_iam_policy_document.instance.json
}

resource "aws_iam_role_policy_attachment" "instance" {
  for_each = var.instance_policy_arns

  role       = aws_iam_role.instance.name
  policy_arn = each.value
}

resource "aws_iam_instance_profile" "instance" {
  name = aws_iam_role.instance.name
  role = aws_iam_role.instance.name
}
