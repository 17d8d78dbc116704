"""The exercises of "From any stack": wrong answers are told apart, and why."""

from __future__ import annotations

import math

import numpy as np
import pytest

from enormous.teach.check import _registry


def cut_off(image, low, high):
    scaled = (np.clip(np.nan_to_num(image, nan=low), low, high) - low) / (high - low)
    return (scaled * 255).astype(np.uint8)


def float_numbers(image, low, high):
    known = np.where(np.isnan(image), low, image)
    return np.rint((np.clip(known, low, high) - low) / (high - low) * 255)


def half_up(image, low, high):
    known = np.where(np.isnan(image), low, image)
    scaled = (np.clip(known, low, high) - low) / (high - low) * 255
    return np.floor(scaled + 0.5).astype(np.uint8)


def holes_of_zero(image, low, high):
    return float_numbers(np.nan_to_num(image, posinf=high), low, high).astype(np.uint8)


def in_place(image, low, high):
    image[np.isnan(image)] = low
    return np.rint((np.clip(image, low, high) - low) / (high - low) * 255).astype(np.uint8)


def to_window(image, low, high):
    return float_numbers(image, low, high).astype(np.uint8)


def steps_alone(data, shapes, dtypes):
    def rough(pair):
        image = np.frombuffer(data, pair[1]).reshape(pair[0]).astype(float)
        return np.mean([np.abs(np.diff(image, axis=a)).mean() for a in range(3)])

    pairs = [(s, d) for s in shapes for d in dtypes]
    fitting = [p for p in pairs if math.prod(p[0]) * np.dtype(p[1]).itemsize == len(data)]
    return min(fitting, key=rough)


def crack(data, shapes, dtypes):
    """The smoothest of all that fit, by steps along all axes."""

    def rough(pair):
        image = np.frombuffer(data, pair[1]).reshape(pair[0]).astype(float)
        if not np.isfinite(image).all():
            return math.inf
        steps = [np.abs(np.diff(image, axis=a)).mean() for a in range(3)]
        return np.mean(steps) / np.abs(image - image.mean()).mean()

    pairs = [(s, d) for s in shapes for d in dtypes]
    fitting = [p for p in pairs if math.prod(p[0]) * np.dtype(p[1]).itemsize == len(data)]
    return min(fitting, key=rough)


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("stacks-1", 0.8 / 256 / 0.2, "256 numbers"),
        ("stacks-2", 2000 * 19 * 31, "round up"),
        ("stacks-3", cut_off, "only then"),
        ("stacks-3", float_numbers, "not uint8"),
        ("stacks-3", half_up, "np.rint"),
        ("stacks-3", holes_of_zero, "NaN"),
        ("stacks-3", in_place, "changes the image"),
        ("stacks-4", steps_alone, "It said"),
        ("stacks-4", lambda data, shapes, dtypes: (shapes[0], dtypes[0]), "It said"),
        ("stacks-4", 7, "function itself"),
    ],
)
def test_a_wrong_answer_gets_a_hint(name, answer, hint):
    right, said = _registry.find(name).judge(answer)
    assert not right
    assert hint in said


def test_right_answers_are_right():
    assert _registry.find("stacks-3").judge(to_window) == (True, "")
    assert _registry.find("stacks-4").judge(crack) == (True, "")
    for name in ("stacks-1", "stacks-2"):
        exercise = _registry.find(name)
        assert exercise.judge(exercise.expected()) == (True, "")
