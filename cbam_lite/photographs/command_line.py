"""``cbam-lite describe | train | report | predict | export``: from a folder of photographs to a report, without code.

Exit codes: 0 all went well, 1 an error that is named, 2 the command was mistyped, 130 Ctrl-C (what was done is kept,
and the same command goes on). With ``--json`` the standard output is JSON and nothing else.
"""

import argparse
import contextlib
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbam_lite.photographs.describing import describe
from cbam_lite.photographs.exporting import export_onnx
from cbam_lite.photographs.predicting import predict_folder
from cbam_lite.photographs.report import report
from cbam_lite.photographs.runs import (
    LAYOUTS,
    Run,
    good_of,
    layer_of_run,
    layout_of,
    load_run,
    network_of_run,
    parts_of,
    read,
)
from cbam_lite.training.batches import lights_and_flips
from cbam_lite.training.defect_nets import ATTENTION
from cbam_lite.training.train import fit

INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


# ---- the commands: each gives what `--json` prints, and what people read ---------------------------------------------


def run_describe(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    asked = asked_for(options)
    found = describe(read(asked))
    if options.picture:
        found.picture(file=Path(options.picture).expanduser())
    return found.as_dict(), str(found)


def run_train(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    folder = Path(options.out).expanduser()
    asked = asked_for(options)
    if (folder / "run.json").is_file():
        asked = the_same(asked, load_run(folder), folder)
    data = read(asked)
    asked.classes = list(data.classes)
    parts = parts_of(asked, data)
    asked.save(folder)
    say(str(describe(parts["train"], parts["test"])))
    model = network_of_run(asked, trained=False)
    history = fit(
        model,
        parts["train"],
        parts["valid"],
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        lr=asked.lr,
        augment=lights_and_flips,
        class_weights="balanced" if asked.balanced else None,
        seed=asked.seed,
        device=options.device,
        checkpoint=folder,
        progress=not options.quiet,
    )
    facts = {"folder": str(folder), "classes": asked.classes, "epochs": len(history)}
    facts |= {"valid_accuracy": history["valid_accuracy"][-1], "interrupted": history.interrupted}
    facts |= {"images": {name: len(part) for name, part in parts.items()}}
    words = f"{folder} holds the training, {len(history)} of {asked.epochs} epochs. Accuracy hides what is missed: see "
    return facts, f"{words}cbam-lite report {folder}"


def run_report(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    folder = Path(options.run).expanduser()
    asked = load_run(folder)
    parts = parts_of(asked, read(asked))
    model = network_of_run(asked, trained=True, folder=folder)
    where = Path(options.out).expanduser() if options.out else folder / "report"
    found = report(
        model,
        parts["test"],
        where,
        valid=parts["valid"],
        good=options.good or good_of(asked.classes),
        recall=options.recall,
        layer=options.layer or layer_of_run(asked),
        method=options.method,
    )
    return found.as_dict(), f"{found}\n{where / 'report.html'} shows it all"


def run_predict(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    folder = Path(options.run).expanduser()
    asked = load_run(folder)
    model = network_of_run(asked, trained=True, folder=folder)
    found = predict_folder(
        model,
        options.folder,
        options.out,
        classes=asked.classes,
        size=asked.size,
        layer=options.layer or layer_of_run(asked),
        overlays=not options.no_maps,
        bits=asked.bits,
        progress=not options.quiet,
    )
    facts = {"table": str(found.table), "done": found.done, "there": found.there, "unreadable": found.unreadable}
    return facts | {"interrupted": found.interrupted}, str(found)


def run_export(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    folder = Path(options.run).expanduser()
    asked = load_run(folder)
    model = network_of_run(asked, trained=True, folder=folder)
    found = export_onnx(model, options.file, size=asked.size, classes=asked.classes, gate=options.gate)
    facts = {"path": str(found.path), "difference": found.difference, "metadata": found.metadata}
    return facts | {"outputs": {name: list(shape) for name, shape in found.outputs.items()}}, str(found)


def asked_for(options: argparse.Namespace) -> Run:
    """The run that the options of `describe` and `train` ask for."""
    asked = {name: getattr(options, name) for name in Run.__dataclass_fields__ if hasattr(options, name)}
    asked["layout"] = options.layout or layout_of(Path(options.data).expanduser())
    if options.command == "train":
        asked["shares"] = (options.valid, options.test)
    return Run(**asked)


def the_same(asked: Run, before: Run, folder: Path) -> Run:
    """The run that the folder holds, if it was asked for the same; else an error that says what differs."""
    there, here = before.asked(), asked.asked()
    other = [f"{name} {there[name]!r} there, {here[name]!r} here" for name in there if there[name] != here[name]]
    if other:
        raise ValueError(
            f"{folder} holds another training, {'; '.join(other)}: give another --out, or the same options"
        )
    return before


# ---- the words of the command line -----------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="cbam-lite",
        description="From a folder of photographs to defects, their places and an honest report.",
        epilog="A first try: cbam-lite describe FOLDER; cbam-lite train FOLDER --out RUN; cbam-lite report RUN.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words, what, about in (
        ("describe", words_of_describe, run_describe, "what is in a folder, and what looks wrong"),
        ("train", words_of_train, run_train, "train a network on a folder; the same command goes on after Ctrl-C"),
        ("report", words_of_report, run_report, "how good is it, what does it miss, where does it look? An HTML page"),
        ("predict", words_of_predict, run_predict, "classes and maps for new photographs: a CSV and pictures"),
        ("export", words_of_export, run_export, "an ONNX file with class names, checked in onnxruntime"),
    ):
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        command.set_defaults(what=what)
        command.add_argument("--json", action="store_true", help="print JSON")
        command.add_argument("--quiet", action="store_true", help="no progress bar")
        words(command)
    return top


def words_of_describe(command: argparse.ArgumentParser) -> None:
    words_of_data(command)
    command.add_argument("--picture", metavar="FILE", help="draw samples of each class into this PNG")


def words_of_data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "data", metavar="FOLDER", help="photographs in one folder for each class; or a CSV, a COCO file"
    )
    command.add_argument("--layout", choices=LAYOUTS, help="how the folder is made; guessed by default")
    command.add_argument("--size", type=int, default=Run.size, help=f"photographs become SIZE x SIZE ({Run.size})")
    command.add_argument(
        "--groups",
        default=Run.groups,
        help="what shows the same thing and must stay in one part: auto (default: a CSV's column of groups, else what "
        "looks alike), similar, folder, none, or a pattern with one bracket, such as 'part(\\d+)' for file names",
    )

    command.add_argument("--masks", metavar="FOLDER", help="of --layout masked: the masks, where they stand apart")
    command.add_argument("--bits", type=int, help="of 16-bit photographs, the bits of the camera; found by default")


def words_of_train(command: argparse.ArgumentParser) -> None:
    words_of_data(command)
    command.add_argument("--out", required=True, metavar="RUN", help="the folder for the training")
    command.add_argument("--network", default=Run.network, help="small (default), or one of torchvision: resnet18 ...")
    command.add_argument("--attention", choices=list(ATTENTION), default=Run.attention)
    command.add_argument("--weights", default=Run.weights, help="of torchvision's network (DEFAULT), or none")
    command.add_argument("--epochs", type=int, default=Run.epochs)
    command.add_argument("--batch-size", type=int, default=Run.batch_size)
    command.add_argument("--lr", type=float, default=Run.lr)
    command.add_argument(
        "--valid", type=float, default=0.15, help="share of the photographs that choose epoch and threshold"
    )
    command.add_argument("--test", type=float, default=0.15, help="share that is kept for the report")
    command.add_argument("--unbalanced", dest="balanced", action="store_false", help="do not weigh rare classes up")
    command.add_argument("--seed", type=int, default=Run.seed)
    command.add_argument("--device", help="cpu or cuda; CUDA where there is one")


def words_of_report(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="the folder of the training")
    command.add_argument("--out", metavar="FOLDER", help="where the page goes; RUN/report by default")
    command.add_argument("--good", help="the class without defect; guessed from its name by default")
    command.add_argument("--recall", type=float, default=0.95, help="the share of defects to be found (0.95)")
    command.add_argument("--layer", help="where maps are taken")
    command.add_argument("--method", default="LayerCAM", help="how maps are made (LayerCAM)")


def words_of_predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="the folder of the training")
    command.add_argument("folder", metavar="FOLDER", help="new photographs")
    command.add_argument("--out", required=True, metavar="FOLDER", help="where predictions.csv and the pictures go")
    command.add_argument("--layer", help="where maps are taken")
    command.add_argument("--no-maps", action="store_true", help="classes only")


def words_of_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="the folder of the training")
    command.add_argument("file", metavar="FILE", help="the .onnx file to write")
    command.add_argument("--gate", help="a CBAM whose spatial gate is a second output")


def say(words: str) -> None:
    """What people read on the way; the standard output is kept for the result."""
    print(words, file=sys.stderr, flush=True)


def command() -> None:
    """What the shell calls. A reader that leaves early, as `head` does, is no error of ours."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        code = 1
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.showwarning = lambda message, *place, **more: say(f"Warning: {message}")
            facts, words = options.what(options)
    except KeyboardInterrupt:
        say("Stopped. What was done is kept; the same command goes on.")
        return INTERRUPTED
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        say(f"cbam-lite {options.command}: {error}")
        return 1
    print(json.dumps(facts, indent=1, allow_nan=False) if options.json else words)
    return INTERRUPTED if facts.get("interrupted") else 0
