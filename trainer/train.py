"""Train a small neural network on scikit-learn's handwritten digits.

Reads PARRIS_PARAM_EPOCHS; writes metrics.jsonl, model.joblib, learning-curve.png and summary.json
to PARRIS_OUTPUT_DIR, and a checkpoint for each epoch, from which it goes on if there is one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import matplotlib as mpl

mpl.use("Agg")  # a training machine has no screen
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 7
OUTPUT = Path(os.environ.get("PARRIS_OUTPUT_DIR", "output"))
CHECKPOINTS = Path(os.environ.get("PARRIS_CHECKPOINT_DIR", "checkpoints"))


def main() -> int:
    """Train, measure on digits the model never saw, and save what came of it."""
    epochs = int(os.environ.get("PARRIS_PARAM_EPOCHS", "20"))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    told_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told_to_stop.append(number))

    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    rest_x, test_x, rest_y, test_y = train_test_split(
        images, labels, test_size=0.2, random_state=SEED, stratify=labels
    )
    train_x, valid_x, train_y, valid_y = train_test_split(
        rest_x, rest_y, test_size=0.15, random_state=SEED, stratify=rest_y
    )
    print(f"digits: {len(train_x)} to train, {len(valid_x)} to validate, {len(test_x)} to test")

    model, history = resume()
    for epoch in range(len(history) + 1, epochs + 1):
        if told_to_stop:
            break
        started = time.perf_counter()
        order = np.random.default_rng(SEED + epoch).permutation(len(train_x))
        for batch in np.array_split(order, len(order) // 32):
            model.partial_fit(train_x[batch], train_y[batch], classes=np.arange(10))
        history.append(
            {
                "epoch": epoch,
                "epochs": epochs,
                "train-accuracy": round(float(model.score(train_x, train_y)), 4),
                "validation-accuracy": round(float(model.score(valid_x, valid_y)), 4),
                "loss": round(float(model.loss_), 5),
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
        save(model, history)
        print(
            "epoch {epoch:2d}: loss {loss:.4f}, validation {validation-accuracy:.4f}".format(
                **history[-1]
            )
        )

    accuracy = float(model.score(test_x, test_y))
    joblib.dump(model, OUTPUT / "model.joblib")
    plot(history)
    summary = {
        "epochs": len(history),
        "test-accuracy": round(accuracy, 4),
        "test-digits": len(test_x),
    }
    (OUTPUT / "summary.json").write_text(json.dumps(summary) + "\n")
    print(f"test accuracy {accuracy:.4f}")
    if len(history) < epochs:
        print(
            f"told to stop after epoch {len(history)} of {epochs}; the checkpoint goes on from it"
        )
        return 1
    return 0


def resume() -> tuple[MLPClassifier, list[dict[str, Any]]]:
    """Return the model and its history from the checkpoint, or a new model."""
    path = CHECKPOINTS / "latest.joblib"
    if path.exists():
        checkpoint = joblib.load(path)
        print(f"going on after epoch {len(checkpoint['history'])}")
        return checkpoint["model"], checkpoint["history"]
    model = MLPClassifier(hidden_layer_sizes=(64,), learning_rate_init=0.002, random_state=SEED)
    return model, []


def save(model: MLPClassifier, history: list[dict[str, Any]]) -> None:
    """Keep one epoch: its metrics, and a checkpoint that is either the old one or the new."""
    with (OUTPUT / "metrics.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in history)
    partial = Path("latest.joblib.partial")  # not in CHECKPOINTS: half of one is not to be stored
    joblib.dump({"model": model, "history": history}, partial)
    partial.replace(CHECKPOINTS / "latest.joblib")


def plot(history: list[dict[str, Any]]) -> None:
    """Draw the learning curve."""
    epochs = [row["epoch"] for row in history]
    figure, axes = plt.subplots(figsize=(6, 4), dpi=120)
    axes.plot(epochs, [row["train-accuracy"] for row in history], label="training")
    axes.plot(epochs, [row["validation-accuracy"] for row in history], label="validation")
    axes.set(xlabel="epoch", ylabel="accuracy", title="Handwritten digits")
    axes.legend()
    figure.tight_layout()
    figure.savefig(OUTPUT / "learning-curve.png")


if __name__ == "__main__":
    sys.exit(main())
