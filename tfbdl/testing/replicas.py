"""A step on several devices equals the step on one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from .. import registry
from ..api import build
from ..data import Dataset
from ..errors import MissingDependencyError
from ..specs import Capability
from .data import data_for
from .expect import require
from .steps import frozen_noise, require_equal_steps, train_one_step, without_dropout

SECONDS = 300
_PROCESS = """
import sys
from tfbdl.testing import check_replicas, two_logical_cpus
if not two_logical_cpus():
    raise SystemExit("TensorFlow cannot make two logical CPUs here.")
try:
    check_replicas(sys.argv[1])
except AssertionError as error:
    raise SystemExit(str(error))
"""


def two_logical_cpus() -> bool:
    """Split the CPU into two logical devices where it is not too late, and say if there are two.

    TensorFlow takes this before its first operation only. The pytest plugin calls it at the start
    of a session that has tests with the marker ``replicas``.
    """
    (cpu,) = tf.config.list_physical_devices("CPU")[:1]
    if len(tf.config.get_logical_device_configuration(cpu) or ()) < 2:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * 2
            )
        except RuntimeError:  # TensorFlow has begun: what there is stays
            return len(tf.config.list_logical_devices("CPU")) >= 2
    return True


def check_replicas(name: str) -> None:
    """Training on two replicas is training on one.

    With the noise frozen and dropout off, one step of plain SGD under a MirroredStrategy over two
    logical CPUs changes every weight as a step on one device does; a term that is not divided
    rightly, such as the KL, shows here. Unfrozen, the replicas' calls draw different noise, if
    they draw any.

    Where TensorFlow has begun with one logical CPU, this runs in a process of its own.

    Args:
        name: Of a model with the capability ``trainable``.

    Raises:
        AssertionError: If the steps differ, or replicas draw the same noise.
    """
    spec = registry.registry().models[name]
    require(Capability.TRAINABLE in spec.capabilities, f"Model {name!r} is not trainable.")
    if not two_logical_cpus():
        _in_a_process(name)
        return
    data = data_for(spec)[0]
    single = _frozen_step(name, data, tf.distribute.get_strategy().scope)
    # Collectives would collide with those of an earlier strategy of the process on these devices.
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    double = _frozen_step(name, data, strategy.scope)
    require_equal_steps(f"Model {name!r} on one and on two replicas", single, double)
    _check_noise(name, data, strategy)


def check_gpu(name: str) -> None:
    """One step on a GPU, noise frozen and dropout off, equals the step on the CPU.

    Args:
        name: Of a model with the capability ``trainable``.

    Raises:
        AssertionError: If the steps differ.
        MissingDependencyError: If TensorFlow sees no GPU.
    """
    if not tf.config.list_physical_devices("GPU"):
        raise MissingDependencyError("TensorFlow sees no GPU. pip install 'tfbdl[gpu]' brings it.")
    data = data_for(registry.registry().models[name])[0]
    steps = [
        _frozen_step(name, data, tf.distribute.OneDeviceStrategy(device).scope)
        for device in ("CPU:0", "GPU:0")
    ]
    require_equal_steps(f"Model {name!r} on the CPU and on the GPU", *steps)


def _frozen_step(
    name: str, data: Dataset, scope: Callable[[], Any]
) -> list[tuple[str, np.ndarray]]:
    with frozen_noise(), scope():
        model = build(name, data, seed=1)
        without_dropout(model)
        return train_one_step(f"Model {name!r}", model, data)


def _check_noise(name: str, data: Dataset, strategy: Any) -> None:
    with strategy.scope():
        model = build(name, data, seed=1)
    without_dropout(model)

    def outputs() -> list[np.ndarray]:
        run = tf.function(lambda: model(data.x, training=True))
        found = strategy.experimental_local_results(strategy.run(run))
        return [np.concatenate([np.ravel(p) for p in tf.nest.flatten(part)]) for part in found]

    first, second = outputs()
    with frozen_noise():
        centre = outputs()[0]
    require(
        np.array_equal(first, centre) or not np.array_equal(first, second),
        f"Model {name!r}: replicas draw the same noise. Fold the replica's id into the key: "
        "tf.distribute.get_replica_context().replica_id_in_sync_group.",
    )


def _in_a_process(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS, name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    require(done.returncode == 0, done.stderr.strip().rpartition("\n")[2])
