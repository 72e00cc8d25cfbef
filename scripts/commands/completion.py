"""Print what makes bash or zsh complete the verbs: ``eval "$(./parris completion bash)"``."""

from __future__ import annotations

from scripts.cli.arguments import parse, whole_parser

_JOBS = """
_parris_jobs() {
  local program
  program=$(command -v -- "${COMP_WORDS[0]}") || return 0
  program=$(readlink -f -- "$program")
  local jobs=("${program%/*}"/trainer/jobs/*/)
  jobs=("${jobs[@]%/}")
  compgen -W "default ${jobs[*]##*/}" -- "$1"
}
"""
"""The jobs of the clone whose parris is being typed. zsh completes the options only."""


def main(argv: list[str]) -> int:
    """Print the script, which knows the verbs as they are now: no TAB starts a program."""
    import shtab

    options = parse("completion", argv)
    shell = options.shell or "bash"
    print(shtab.complete(whole_parser(), shell=shell, preamble=_JOBS if shell == "bash" else ""))
    return 0
