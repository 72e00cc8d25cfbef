# Two deployments in one region and one in another: names keep them apart, providers say where.

terraform {
  required_version = ">= 1.9.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

provider "aws" {
  alias  = "us"
  region = "us-east-1"
}

# A click on a button is one deployment's: each has topics of its own.
module "team" {
  source   = "../../.."
  for_each = toset(["vision", "speech"])

  name_prefix  = "parris-${each.key}"
  iot_topic    = "iotbutton/${each.key}/+"
  launch_topic = "parris/${each.key}/launch/+"
}

module "overseas" {
  source = "../../.."
  count  = 1

  providers = { aws = aws.us }

  name_prefix  = "parris-us"
  iot_topic    = null
  launch_topic = null
}

output "launch_functions" {
  description = "By team, what launches its trainings."
  value       = { for name, deployment in module.team : name => deployment.launch_function }
}
