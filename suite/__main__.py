"""The front door: a first word that is a command, else a study for Hydra. Imports nothing heavy until it must."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from suite.stopping import Stopped, stoppable
from suite.vocabulary import RequestError, RunFailed

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
#: What to do after a study was stopped.
KEPT = "finished blocks are kept, and the same command goes on from there"

HELP = """\
usage: python -m suite                             list the scenarios and their last verdicts
       python -m suite +scenario=NAME [KEY=VALUE]  run one study
       python -m suite +scenario=NAME dry_run=true show what would run
       python -m suite report [RESULTS_DIR]        rebuild every report and the index (of a RECORD: its report)
       python -m suite index [RESULTS_DIR]         rebuild the index alone
       python -m suite sync RECORD                 write a finished record into MLflow again
       python -m suite verify RECORD               check a record, train it again and compare every number
                       [--sample N] [--seed K] [--json PATH] [executor=local] [block_size=N] [device=D]
       python -m suite verify --all [RESULTS_DIR]  the same for every record
       python -m suite export RECORD --to FILE.zip the record as one file to deposit, the same bytes each time
       python -m suite check FILE.yaml|NAME|--all  say all that is wrong or weak in a scenario, before it is run
                       [--strict] [--json]
       python -m suite -m +scenario=A,B seed=0,1   several studies (Hydra multirun), each with a record of its own
       suite --completion bash|zsh|fish            completion for your shell, to be sourced

common keys: replicates=64 seed=0 data=digits|fashion_mnist device=auto|cpu|cuda executor=serial|local
             results_dir=results tracking=mlflow|off quiet=true (or -q) train.steps=300 optimizer.lr=0.1 model.hidden=[32]
Hydra's own flags work: --cfg job, --info, --config-dir DIR (with DIR/scenario/NAME.yaml).
exit codes: 0 done, 1 the run failed, 2 the request was wrong, 3 a control failed, so the study is invalid;
            verify: 0 reproduced, 1 not reproduced, 2 cannot be repeated here
            check: 0 no error (with --strict: no warning either), 1 there is one, 2 there is no such scenario
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    arguments = ["quiet=true" if argument in ("-q", "--quiet") else argument for argument in (sys.argv[1:] if argv is None else argv)]
    try:
        with stoppable():
            return _dispatch(arguments)
    except RequestError as error:
        return _say(f"error: {error}", WRONG)
    except RunFailed as error:
        return _say(f"error: {error}", FAILED)
    except (KeyboardInterrupt, Stopped) as stop:
        how, code = (str(stop), stop.code) if isinstance(stop, Stopped) else ("interrupted", INTERRUPTED)
        after = next(iter(getattr(stop, "__notes__", ())), KEPT)
        return _say(f"{how}; {after}", code)
    except BrokenPipeError:
        # the reader of our output has gone; there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        # a full disk, a device that fails: what is whole stays whole
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"error: {where}{error.strerror or error}; mend that, then: {KEPT}", FAILED)
    except RecursionError:
        return _say("error: the request is nested too deeply to be read; flatten it, 50 levels are the limit", WRONG)


def _say(line: str, code: int) -> int:
    """One line on the error stream, whatever the message held."""
    print(f"suite: {' '.join(line.split())}", file=sys.stderr)
    return code


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return OK
    if arguments and arguments[0] == "--completion":
        from suite.config.completion import script

        print(script(" ".join(arguments[1:]) or "bash"), end="")
        return OK
    if not arguments or arguments[0] == "list":
        return _list(arguments[1:])
    if arguments[0] == "report":
        from suite.study.commands import report

        return report(_one(arguments, "results"))
    if arguments[0] == "index":
        from suite.study.commands import index

        return index(_one(arguments, "results"))
    if arguments[0] == "sync":
        from suite.study.commands import sync

        return sync(_one(arguments, None))
    if arguments[0] == "export":
        from suite.study.commands import export

        return export(arguments[1:])
    if arguments[0] == "check":
        from suite.study.check import check

        return check(arguments[1:])
    if arguments[0] == "verify":
        from suite.study.verify_request import read_request

        request = read_request(arguments[1:])
        from suite.study.verify import verify

        return verify(request)
    if arguments[0][:1].isalpha() and "=" not in arguments[0]:
        from suite.config.choices import COMMANDS, nearest

        raise RequestError(f"{arguments[0]}: there is no such command; the nearest is {nearest(arguments[0], COMMANDS)!r}")
    return _study(arguments)


def _one(arguments: list[str], default: str | None) -> str:
    """The single path a command takes; ``results_dir=PATH`` is accepted for it too."""
    given = [argument.removeprefix("results_dir=") for argument in arguments[1:]]
    if len(given) > 1 or (not given and default is None):
        raise RequestError(
            f"{arguments[0]} takes one path, such as results/born_dead" if default is None else f"{arguments[0]} takes one folder"
        )
    return given[0] if given else str(default)


def _list(arguments: list[str]) -> int:
    from suite.config.catalogue import catalogue
    from suite.config.listing import print_catalogue
    from suite.config.paths import SCENARIOS

    results = [argument for argument in arguments if argument.startswith("results_dir=")]
    if len(results) != len(arguments):
        raise RequestError("list takes results_dir=PATH and nothing else")
    print_catalogue(catalogue([SCENARIOS]), Path(results[-1].removeprefix("results_dir=") if results else "results"))
    return OK


def _study(arguments: list[str]) -> int:
    # Hydra prints and exits on its own errors unless told to raise them; ours are one line with exit code 2
    os.environ["HYDRA_FULL_ERROR"] = "1"
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    from suite.config import hydra_plugin
    from suite.config.catalogue import catalogue
    from suite.config.compose import check_overrides, compose_study, scenario_file
    from suite.config.messages import one_line
    from suite.config.paths import CONF
    from suite.config.sweep import Job, Sweep, launcher_missing, settled, told

    _check_flags(arguments)
    folders = _folders(arguments, hydra_plugin.FOLDERS)
    hydra_plugin.FOLDERS[:] = folders
    hydra_plugin.register()
    overrides = [text for text in arguments if ("=" in text and not text.startswith("-")) or text.startswith("~")]
    entries = catalogue(folders)
    try:
        check_overrides(overrides, [entry.name for entry in entries])
        for entry in entries:
            if entry.error and any(text.startswith("+scenario=") and entry.name in text.split("=")[1].split(",") for text in overrides):
                raise RequestError(entry.error)
    except HydraException as error:
        raise RequestError(one_line(error)) from error
    codes: list[int] = []
    wrong: list[Exception] = []

    crashed: list[Exception] = []
    sweep = Sweep.of(overrides).begun() if _several(arguments) else None

    def job(cfg: DictConfig) -> None:
        if sweep is not None:
            sweep.note(one_of_several(cfg, sweep))
            return
        try:
            codes.append(study_of(cfg, list(HydraConfig.get().overrides.task)))
        except (RequestError, RunFailed, OSError, RecursionError, HydraException, OmegaConfBaseException) as error:
            # raised out of a job, Hydra would print a line of its own before ours
            wrong.append(error)
        except Exception as error:
            crashed.append(error)
            raise

    def one_of_several(cfg: DictConfig, sweep: Sweep) -> Job:
        given = list(HydraConfig.get().overrides.task)
        number, asked = int(HydraConfig.get().job.num), sweep.own(given)
        own = sweep.overrides(given, str(cfg.results_dir))
        if own != given:
            cfg.results_dir = OverridesParser.create().parse_override(own[-1]).value()
        if not cfg.quiet:
            print(f"job {number}: {' '.join(asked)}", flush=True)
        try:
            code, line = study_of(cfg, own), ""
        except (RequestError, HydraException, OmegaConfBaseException) as error:
            code, line = WRONG, str(error) if isinstance(error, RequestError) else one_line(error)
        except Exception as error:  # one study's fault must not cost the others
            if not isinstance(error, (RunFailed, OSError, RecursionError)):
                traceback.print_exc()
            code, line = FAILED, str(error) or type(error).__name__
        record = "" if cfg.dry_run or code in (FAILED, WRONG) else str(Path(cfg.results_dir) / str(cfg.scenario.name))
        return Job(number, asked, code, record, " ".join(line.split()))

    def study_of(cfg: DictConfig, given: list[str]) -> int:
        if cfg.get("scenario") is None:
            raise RequestError("no scenario was named; add +scenario=NAME (python -m suite lists them)")
        runtime = HydraConfig.get().runtime
        origin = scenario_file(str(runtime.choices.get("scenario", "scenario")), folders)
        request = compose_study(cfg, given, origin)
        from suite.study.start import start_study

        return start_study(request)

    run: Callable[[], Any] = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)
    before = sys.argv
    sys.argv = ["suite", *arguments]
    try:
        run()
        if wrong:
            raise wrong[0]
        if sweep is not None:
            jobs = sweep.ended()
            if "quiet=true" not in overrides:
                print(told(jobs))
            return settled(jobs)
    except (HydraException, OmegaConfBaseException) as error:
        raise RequestError(launcher_missing(error) or one_line(error)) from error
    except SystemExit as stop:
        return WRONG if stop.code not in (0, None) else OK
    except (RequestError, RunFailed, OSError, RecursionError):
        raise
    except Exception as error:
        if error in crashed:  # a fault of ours
            raise
        if sweep is not None and sweep.ended():
            raise RunFailed(f"the launcher gave up ({type(error).__name__}: {one_line(error)})") from error
        # Hydra's own settings are wrong in a way that Hydra has no words for
        raise RequestError(f"Hydra cannot use these settings ({type(error).__name__}: {one_line(error)})") from error
    finally:
        sys.argv = before
        if sweep is not None:
            sweep.ended()
    return max(codes, default=OK)


def _several(arguments: Sequence[str]) -> bool:
    """Whether Hydra is asked for a multirun."""
    return bool({"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments))


def _check_flags(arguments: Sequence[str]) -> None:
    """Raises RequestError for a flag that Hydra does not have; its own parser would print a page of usage."""
    from hydra._internal.utils import get_args_parser

    from suite.config.choices import nearest
    from suite.config.design import known_keys

    parser = get_args_parser()
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for argument in arguments:
        if argument.startswith("-") and argument.split("=")[0] not in flags:
            key = nearest(argument.split("=")[0].lstrip("-"), known_keys())
            raise RequestError(
                f"{argument}: there is no such flag; settings are written KEY=VALUE, such as {key}=…, and --help shows the rest"
            )

    def refuse(message: str) -> NoReturn:
        raise RequestError(message)

    parser.error = refuse  # it would print a page of usage
    parser.parse_args(list(arguments))


def _folders(arguments: list[str], own: list[Path]) -> list[Path]:
    """Scenario folders, those of ``--config-dir`` first."""
    found: list[Path] = []
    for index, argument in enumerate(arguments):
        if argument in ("--config-dir", "-cd") and index + 1 < len(arguments):
            found.append(Path(arguments[index + 1]))
        elif argument.startswith("--config-dir="):
            found.append(Path(argument.removeprefix("--config-dir=")))
    for folder in found:
        if not folder.is_dir():
            raise RequestError(f"--config-dir {folder}: there is no such folder")
    return [folder.absolute() / "scenario" for folder in found if (folder / "scenario").is_dir()] + own


if __name__ == "__main__":
    sys.exit(main())
