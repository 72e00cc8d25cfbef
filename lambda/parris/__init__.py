"""Parris: one event in, one CloudFormation training stack out."""
