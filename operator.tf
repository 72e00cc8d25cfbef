# --- A person: what the make targets need, and no more --------------------------------------------

# What the make targets ask of AWS, but for deploy, destroy and bucket. `make deploy` and `make destroy` make
# and delete roles, so they need an administrator's rights, whatever a policy would call them. Terraform's
# state, which every target reads, is this person's to reach besides, where it is not in the clone.

locals {
  # A filter's wildcards as IAM writes them (AWS IoT developer guide, "Using wildcard characters in
  # MQTT and AWS IoT Core policies").
  fired_topics = [
    for filter in compact(values(local.topics)) :
    "arn:${local.partition}:iot:${local.region}:${local.account_id}:topic/${replace(replace(filter, "+", "*"), "#", "*")}"
  ]
  fired_buckets = distinct([for trigger in values(var.data_triggers) : "arn:${local.partition}:s3:::${trigger.bucket}"])
  # The deployment's name with a star would be the rules of its neighbours too, parris-2 and the like.
  fired_rules   = [for name in sort(keys(var.schedules)) : "arn:${local.partition}:events:${local.region}:${local.account_id}:rule/${local.rule_prefix}${name}"]
  fired_objects = distinct([for trigger in values(var.data_triggers) : "arn:${local.partition}:s3:::${trigger.bucket}/${trigger.prefix}*"])
}

data "aws_iam_policy_document" "operator" {
  source_policy_documents = [data.aws_iam_policy_document.more["operator"].json]

  statement {
    sid       = "KeepJobs"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] # its old versions stay
    resources = ["${aws_s3_bucket.store["config"].arn}/*"]
  }

  statement {
    sid       = "ListJobsAndRuns" # without it S3 answers 403 where 404 is meant
    actions   = ["s3:ListBucket"]
    resources = [for bucket in aws_s3_bucket.store : bucket.arn]
  }

  statement {
    sid       = "FetchRuns"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/runs/*"]
  }

  statement {
    sid       = "ListRuns"
    actions   = ["dynamodb:Query"]
    resources = [for index in ["kind", "open"] : "${aws_dynamodb_table.ledger.arn}/index/${index}"]
  }

  statement {
    # "adopted": whether older runs were all taken in; "slots", "queue": what a launch now would meet
    sid       = "ReadRunsAndWhatWasTold"
    actions   = ["dynamodb:Query", "dynamodb:GetItem"]
    resources = [aws_dynamodb_table.ledger.arn]

    condition { # DynamoDB developer guide, "Using IAM policy conditions for fine-grained access control"
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = ["run#*", "grid#*", "told", "adopted", "slots", "queue"]
    }
  }

  statement {
    sid       = "StopAndExtendRuns"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/runs/*/run.json"]
  }

  statement {
    sid       = "PublishReports" # a link reads with the rights of whoever signed it
    actions   = ["s3:PutObject", "s3:GetObject"]
    resources = ["${aws_s3_bucket.store["results"].arn}/reports/*"]
  }

  statement {
    sid       = "LaunchTrainings"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.launch.arn]
  }

  statement {
    sid = "SeeStacksAndMachines"
    # DescribeStacks without a name asks for ListStacks too (CloudFormation API reference,
    # "DescribeStacks", StackName).
    actions   = ["cloudformation:DescribeStacks", "cloudformation:ListStacks", "cloudformation:DescribeStackEvents", "ec2:DescribeInstances"]
    resources = ["*"] # listings take no resource; what is not ours is told by its tag and left
  }

  statement {
    sid = "SeeWhatJobsName"
    actions = [
      "ec2:DescribeImages",
      "ec2:DescribeInstanceTypeOfferings",
      "ec2:DescribeInstanceTypes",
      "ec2:DescribeKeyPairs",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
    ]
    resources = ["*"] # EC2's describe actions take no resource
  }

  statement {
    sid       = "ReadPublicImageParameters"
    actions   = ["ssm:GetParameter"]
    resources = ["arn:${local.partition}:ssm:${local.region}:*:parameter/aws/service/*"] # AWS's own; nobody else can write below /aws/
  }

  statement {
    sid       = "ReadPrices"
    actions   = ["pricing:GetProducts", "ec2:DescribeSpotPriceHistory"]
    resources = ["*"] # neither takes a resource
  }

  statement {
    sid       = "ReadQuotas"
    actions   = ["servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota"]
    resources = ["*"] # the second takes none; of the first, editions of AWS's reference differ
  }

  statement {
    sid       = "AskWhatALaunchMay" # of these three roles' policies, and no others'
    actions   = ["iam:SimulatePrincipalPolicy"]
    resources = [local.launch_role_arn, local.stack_role_arn, local.instance_role_arn]
  }

  statement {
    sid = "ExtendAndDeleteOurStacks"
    # The stack goes on with the role it has: whoever may change it need not be allowed to pass that
    # (CloudFormation user guide, "AWS CloudFormation service role").
    actions   = ["cloudformation:UpdateStack", "cloudformation:DeleteStack"]
    resources = ["*"] # the stack's name is the job's, so the grant goes by tag

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "FollowLogs"
    actions   = ["logs:GetLogEvents"]
    resources = local.log_resources["training"]
  }

  # AWS Systems Manager user guide, "Quickstart default IAM policies for Session Manager".
  dynamic "statement" {
    for_each = var.shell ? [1] : []

    content {
      sid       = "OpenSessionsOnOurMachines"
      actions   = ["ssm:StartSession"]
      resources = ["arn:${local.partition}:ec2:${local.region}:${local.account_id}:instance/*"]

      condition {
        test     = "StringEquals"
        variable = "ssm:resourceTag/parris:deployment"
        values   = [var.name_prefix]
      }
    }
  }

  dynamic "statement" {
    for_each = var.shell ? [1] : []

    content {
      sid       = "OpenSessionsWithAShell"
      actions   = ["ssm:StartSession"]
      resources = ["arn:${local.partition}:ssm:${local.region}:${local.account_id}:document/SSM-SessionManagerRunShell"]
    }
  }

  dynamic "statement" {
    for_each = var.shell ? [1] : []

    content {
      sid       = "UseAndEndTheirOwnSessions"
      actions   = ["ssm:TerminateSession", "ssm:ResumeSession"]
      resources = ["arn:${local.partition}:ssm:${local.region}:${local.account_id}:session/&{aws:userid}-*"]
    }
  }

  dynamic "statement" {
    for_each = var.shell ? [1] : []

    content {
      sid       = "TalkToSessions" # whose token only StartSession hands out
      actions   = ["ssmmessages:OpenDataChannel"]
      resources = ["*"] # takes none
    }
  }

  dynamic "statement" {
    for_each = length(local.fired_topics) == 0 ? [] : [local.fired_topics]

    content {
      sid       = "ClickAndPublish"
      actions   = ["iot:Publish"]
      resources = statement.value
    }
  }

  statement {
    sid       = "FindTheMessageBroker"
    actions   = ["iot:DescribeEndpoint"]
    resources = ["*"] # takes none
  }

  dynamic "statement" {
    for_each = length(local.fired_rules) == 0 ? [] : [local.fired_rules]

    content {
      sid       = "ReadWhatSchedulesSend"
      actions   = ["events:ListTargetsByRule"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.fired_buckets) == 0 ? [] : [local.fired_buckets]

    content {
      # `make bucket`, which makes one or changes whom it tells, is its owner's to run.
      sid       = "SeeWhereDataComes"
      actions   = ["s3:GetBucketNotification", "s3:ListBucket"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.fired_objects) == 0 ? [] : [local.fired_objects]

    content {
      sid       = "RenewData"
      actions   = ["s3:GetObject", "s3:PutObject"]
      resources = statement.value
    }
  }
}

output "operator_policy" {
  description = "IAM policy that a person needs for every make target but deploy, destroy and bucket, and no more."
  value       = data.aws_iam_policy_document.operator.json
}
