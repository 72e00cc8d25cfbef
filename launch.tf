# --- The launch function: turns an event into a training stack ------------------------------------

locals {
  monthly_budget_usd = var.monthly_budget_usd == null ? "" : tostring(var.monthly_budget_usd)
  launch_role_arn    = coalesce(var.lambda_role_arn, one(aws_iam_role.launch[*].arn))
  # Not the resource's attribute, which its own environment cannot hold.
  launch_function_arn = "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function:${var.name_prefix}-launch"
  # What a template may make, as the function itself has it (lambda/parris/launch/render.py).
  resource_types    = ["AWS::EC2::Instance", "AWS::EC2::LaunchTemplate", "AWS::Scheduler::Schedule", "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::PlacementGroup"]
  instance_profiles = concat([local.instance_profile], sort(var.instance_role_names))
  receipt_objects   = [for name in ["run.json", "agent.pyz", "source/*"] : "${aws_s3_bucket.store["results"].arn}/runs/*/${name}"]
}

resource "aws_lambda_function" "launch" {
  function_name    = "${var.name_prefix}-launch"
  description      = "Parris: turns an event into a training stack."
  filename         = local.zip["launch"]
  source_code_hash = local.sources_hash
  handler          = "parris.launch.handler.handle"
  runtime          = "python3.13"
  architectures    = [var.architecture]
  role             = local.launch_role_arn
  memory_size      = 1024 # CPU comes with memory: half of it doubles the cold start
  timeout          = 60
  tags             = local.tags

  reserved_concurrent_executions = var.launch_reserved_concurrency

  dynamic "vpc_config" {
    for_each = length(var.vpc_subnet_ids) > 0 ? [var.vpc_subnet_ids] : []

    content {
      subnet_ids         = vpc_config.value
      security_group_ids = var.vpc_security_group_ids
    }
  }

  environment {
    variables = {
      PARRIS_DEPLOYMENT          = var.name_prefix
      PARRIS_CONFIG_BUCKET       = aws_s3_bucket.store["config"].id
      PARRIS_RESULTS_BUCKET      = aws_s3_bucket.store["results"].id
      PARRIS_LEDGER_TABLE        = aws_dynamodb_table.ledger.name
      PARRIS_STACK_ROLE_ARN      = local.stack_role_arn
      PARRIS_INSTANCE_PROFILES   = join(",", local.instance_profiles)
      PARRIS_INSTANCE_ROLE       = local.instance_role
      PARRIS_TRAINING_LOG_GROUP  = aws_cloudwatch_log_group.training.name
      PARRIS_SCHEDULER_ROLE_ARN  = local.scheduler_role_arn
      PARRIS_SCHEDULE_GROUP      = aws_scheduler_schedule_group.run.name
      PARRIS_MAX_RUN_HOURS       = tostring(var.max_run_hours)
      PARRIS_MAX_RUN_USD         = var.max_run_usd == null ? "" : tostring(var.max_run_usd)
      PARRIS_MONTHLY_BUDGET_USD  = local.monthly_budget_usd
      PARRIS_MAX_CONCURRENT_RUNS = tostring(var.max_concurrent_runs)
      PARRIS_GRACE_MINUTES       = tostring(var.grace_minutes)
      PARRIS_STACK_TAGS          = jsonencode(var.tags)
      PARRIS_TOPIC_ARN           = aws_sns_topic.notification.arn
      PARRIS_BUTTONS             = jsonencode({ actions = var.button_actions, jobs = var.button_jobs })
      PARRIS_DATA_TRIGGERS       = jsonencode(var.data_triggers)
      PARRIS_LAUNCH_FUNCTION_ARN = local.launch_function_arn
      PARRIS_REAP_FUNCTION_ARN   = aws_lambda_function.reap.arn
      PARRIS_AGENT_VERSION       = aws_s3_object.agent.version_id
      PARRIS_FLEET = jsonencode({
        subnets    = var.subnet_ids
        groups     = var.security_group_ids
        types      = var.allowed_instance_types
        owners     = var.allowed_image_owners
        volume_key = var.kms_key_arn == null ? "" : var.kms_key_arn
      })
    }
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function["launch"].name
  }

  depends_on = [terraform_data.package, aws_iam_role_policy.launch]
}

# --- Its role: reads jobs, writes receipts, asks CloudFormation for stacks ------------------------

data "aws_iam_policy_document" "launch" {
  source_policy_documents = [data.aws_iam_policy_document.more["launch"].json]

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
    sid       = "CopyTheAgent" # which Terraform uploaded; it is copied by its version
    actions   = ["s3:GetObjectVersion"]
    resources = ["${aws_s3_bucket.store["results"].arn}/${aws_s3_object.agent.key}"]
  }

  statement {
    sid       = "ReadReceiptsAndOutcomes"
    actions   = ["s3:GetObject"]
    resources = [for name in ["run.json", "outcome.json"] : "${aws_s3_bucket.store["results"].arn}/runs/*/${name}"]
  }

  statement {
    sid       = "ReadWhatRunsBeganWith" # to begin their next machine, or to run them again
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/runs/*/source/*"]
  }

  statement {
    sid       = "ReadPublicImageParameters"
    actions   = ["ssm:GetParameter"]
    resources = ["arn:${local.partition}:ssm:${local.region}:*:parameter/aws/service/*"] # AWS's own; nobody else can write below /aws/
  }

  statement {
    sid       = "CreateOurStacks"
    actions   = ["cloudformation:CreateStack"]
    resources = ["*"] # the stack's name is the job's, so the grant goes by tag

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/parris:deployment"
      values   = [var.name_prefix]
    }

    # The request must name the types that its template may have, and none but these ("Example IAM
    # identity-based policies for CloudFormation", CloudFormation user guide): of a key that is
    # missing ForAllValues says yes.
    condition {
      test     = "Null"
      variable = "cloudformation:ResourceTypes"
      values   = ["false"]
    }

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "cloudformation:ResourceTypes"
      values   = local.resource_types
    }
  }

  statement {
    sid       = "TagThemAtBirth"
    actions   = ["cloudformation:TagResource"]
    resources = ["*"] # as above

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

    condition {
      test     = "Null"
      variable = "cloudformation:ResourceTypes"
      values   = ["false"]
    }

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "cloudformation:ResourceTypes"
      values   = local.resource_types
    }
  }

  statement {
    sid = "SeeWhatIsInTheWay" # and, for a click, what is under way
    # DescribeStacks without a name asks for ListStacks too (CloudFormation API reference,
    # "DescribeStacks", StackName).
    actions   = ["cloudformation:DescribeStacks", "cloudformation:ListStacks"]
    resources = ["*"] # a stack of that name need not be ours; this is how the refusal can say so
  }

  statement {
    sid       = "ReadPricesAndImages" # whether the image of a run that is run again is still there
    actions   = ["pricing:GetProducts", "ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets", "ec2:DescribeInstanceTypes", "ec2:DescribeImages"]
    resources = ["*"] # none of them takes a resource
  }

  statement {
    sid       = "LetCloudFormationBuildTheStack"
    actions   = ["iam:PassRole"]
    resources = [local.stack_role_arn]

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
    sid       = "HandOverFailures" # to its destination, and runs that get no other machine
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.reap.arn]
  }

  statement {
    sid       = "KeepTheLedger" # DeleteItem: a launch that no longer waits; Query: what came in a window
    actions   = ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"]
    resources = [aws_dynamodb_table.ledger.arn]
  }

  statement {
    sid       = "ListTheNewestRuns" # for a click that asks, and what a month has cost as its budget begins
    actions   = ["dynamodb:Query"]
    resources = ["${aws_dynamodb_table.ledger.arn}/index/kind"]
  }

  statement {
    sid       = "ReadArrivals" # of windows that a version without a ledger opened
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/events/data/*"]
  }

  statement {
    sid       = "EndSettleWindows"
    actions   = ["scheduler:CreateSchedule"]
    resources = ["arn:${local.partition}:scheduler:${local.region}:${local.account_id}:schedule/${local.schedule_group}/${var.name_prefix}-data-*"]
  }

  statement {
    sid       = "LetSchedulerLaunch"
    actions   = ["iam:PassRole"]
    resources = [local.scheduler_role_arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["scheduler.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "launch" {
  count = var.lambda_role_arn == null ? 1 : 0

  name                 = "${var.name_prefix}-launch-${local.region}"
  description          = "Parris: the launch function."
  assume_role_policy   = data.aws_iam_policy_document.assume["launch"].json
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "launch" {
  count = var.lambda_role_arn == null ? 1 : 0

  name   = "launch"
  role   = aws_iam_role.launch[0].id
  policy = data.aws_iam_policy_document.launch.json
}
