"""Parris: one event in, one CloudFormation training stack out."""

__version__ = "0.3.0"
