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
      "ec2:DescribePlacementGroups",
      "ec2:DescribeSecurityGroupRules",
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
    sid       = "StartThemFromOurTemplates" # and in placement groups of ours, where there are several
    actions   = ["ec2:RunInstances"]
    resources = [for type in ["launch-template", "placement-group"] : "${local.ec2_arn}:${type}/*"]

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

  # Of a run of several machines: a security group of their own, which lets only itself in, and a
  # placement group.
  statement {
    sid       = "CreateGroupsOfNodes"
    actions   = ["ec2:CreateSecurityGroup", "ec2:CreatePlacementGroup"]
    resources = [for type in ["security-group", "placement-group"] : "${local.ec2_arn}:${type}/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "CreateThemWhereTheSubnetIs"
    actions   = ["ec2:CreateSecurityGroup"]
    resources = ["${local.ec2_arn}:vpc/*"] # the subnet is the job's to choose
  }

  statement {
    sid       = "KeepOurGroupsOfNodes"
    actions   = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress", "ec2:DeleteSecurityGroup", "ec2:DeletePlacementGroup"]
    resources = [for type in ["security-group", "placement-group"] : "${local.ec2_arn}:${type}/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/parris:deployment"
      values   = [var.name_prefix]
    }
  }

  statement {
    sid       = "TagWhatItMakes"
    actions   = ["ec2:CreateTags"]
    resources = [for type in ["instance", "volume", "network-interface", "spot-instances-request", "launch-template", "security-group", "placement-group"] : "${local.ec2_arn}:${type}/*"]

    condition { # only as a part of these calls, never on what is there already
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["CreateLaunchTemplate", "CreatePlacementGroup", "CreateSecurityGroup", "RunInstances"]
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
