"""Shell completion for the command ``suite``: a small script with the scenarios, commands, keys and choices of this installation.

Reads file names only, so that printing it imports nothing heavy; the shell sources the text and never calls back.
"""

from __future__ import annotations

from suite.config.choices import CHECK_FLAGS, COMMANDS, DATASETS, DEVICES, PRECISIONS
from suite.config.paths import CONF, SCENARIOS
from suite.vocabulary import RequestError

SHELLS = ("bash", "zsh", "fish")
#: Keys that people set most, with the values worth offering.
COMMON: dict[str, tuple[str, ...]] = {
    "replicates": ("8", "64", "256"),
    "seed": ("0", "1"),
    "device": DEVICES,
    "precision": PRECISIONS,
    "dry_run": ("true",),
    "quiet": ("true",),
    "results_dir": (),
    "data.subset": (),
    "train.steps": (),
    "train.batch_size": (),
    "optimizer.lr": (),
    "optimizer.momentum": (),
    "model.hidden": (),
}


def words() -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """(what may stand by itself, key to the values that may follow it)."""
    groups = {
        folder.name: tuple(sorted(path.stem for path in folder.glob("*.yaml"))) for folder in sorted(CONF.iterdir()) if folder.is_dir()
    }
    keys = {"+scenario": tuple(sorted(path.stem for path in SCENARIOS.glob("*.yaml"))), **COMMON, **groups}
    keys["data"] = tuple(name for name in keys["data"] if name in DATASETS)
    return (*COMMANDS, "--help", "--completion", "-m"), keys


def script(shell: str) -> str:
    """The text to source. Raises RequestError for a shell that it is not written for."""
    if shell not in SHELLS:
        raise RequestError(f"--completion {shell}: there is none for that shell; one of {', '.join(SHELLS)}")
    return _fish() if shell == "fish" else _bash(zsh=shell == "zsh")


def _bash(zsh: bool) -> str:
    alone, keys = words()
    cases = "\n".join(f"    {key}) values='{' '.join(values)}' ;;" for key, values in keys.items() if values)
    start = "autoload -U +X bashcompinit && bashcompinit\n" if zsh else ""
    return f"""\
# completion of suite; in your start-up file: source <(suite --completion {"zsh" if zsh else "bash"})
{start}_suite() {{
  # the word is taken from the line: the shell itself splits it at =
  local line="${{COMP_LINE:0:COMP_POINT}}" word key values=''
  word="${{line##* }}"
  case "$line" in
    *" check "*) COMPREPLY=($(compgen -W '{" ".join(_checkable())}' -- "$word") $(compgen -f -X '!*.yaml' -- "$word"))
       COMPREPLY+=($(compgen -d -- "$word"))
       return ;;
  esac
  case "$word" in
    *=*) key="${{word%%=*}}"; word="${{word#*=}}" ;;
    *) COMPREPLY=($(compgen -W '{" ".join([*alone, *(f"{key}=" for key in keys)])}' -- "$word") $(compgen -d -- "$word"))
       [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace 2>/dev/null
       return ;;
  esac
  case "$key" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$values" -- "$word"))
}}
complete -F _suite suite
"""


def _checkable() -> tuple[str, ...]:
    """What may follow ``check``, besides a file."""
    return (*words()[1]["+scenario"], *CHECK_FLAGS)


def _fish() -> str:
    alone, keys = words()
    lines = ["# completion of suite; in your start-up file: suite --completion fish | source"]
    lines += [f"complete -c suite -f -n __fish_use_subcommand -a '{' '.join(alone)}'"]
    lines += [f"complete -c suite -n '__fish_seen_subcommand_from check' -a '{' '.join(_checkable())}'"]
    lines += [f"complete -c suite -f -a '{' '.join(f'{key}={value}' for value in values or ('',))}'" for key, values in keys.items()]
    return "\n".join(lines) + "\n"
