"""What computes: the CPU, or GPUs that torch can use. One that is there and can't be used is an error, never the CPU.

It takes torch and nothing else, so that what can't be used is said within a second or two.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import torch

from hashtag_photos.errors import ModelError
from hashtag_photos.words import first_line

_WAY_OUT = "update its driver, install a torch that fits it, or do without it: --device cpu (DEVICE=cpu)"
_NVIDIA = Path("/proc/driver/nvidia/gpus")


def choose_device(asked: str) -> str:
    """The device that a name means; `auto` is CUDA or MPS where torch can use it, else the CPU.

    Raises ModelError for one that can't be used. A GPU that is there but unusable is never silently replaced.
    """
    if asked != "auto":
        known = asked.partition(":")[0] in ("cpu", "cuda", "mps")
        _try(asked, "use auto or cpu" if known else "use auto, cpu, cuda or mps")
        return str(torch.device(asked))
    if torch.cuda.is_available():
        _try("cuda", _WAY_OUT)
        return "cuda"
    if gpu := _hidden_gpu():
        raise ModelError(
            f"{gpu} is there, and torch can't use it: {_why_no_cuda()}; {_WAY_OUT}",
            subject=gpu,
        )
    if torch.backends.mps.is_available():
        _try("mps", _WAY_OUT)
        return "mps"
    return "cpu"


def natural_precision(device: str) -> str:
    """What a model is computed in unless somebody asks otherwise: bf16 on a GPU that has it, else fp32."""
    if device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp32"


def all_of(chosen: str) -> list[str]:
    """All GPUs where CUDA was asked for without a number, else the one device. Raises ModelError if one fails."""
    if chosen != "cuda":
        return [chosen]
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    for each in gpus[1:]:
        _try(each, f"{_WAY_OUT}; CUDA_VISIBLE_DEVICES chooses among several")
    return gpus


def _try(device: str, way_out: str) -> None:
    """Compute something small on a device. Raises ModelError."""
    try:
        (torch.zeros(1, device=torch.device(device)) + 1).item()
    except Exception as error:  # torch raises RuntimeError, AssertionError and others here
        reason = first_line(error).rstrip(".")
        if reason.startswith("Expected one of"):  # and then all that torch was ever ported to
            reason = "torch knows no such device"
        raise ModelError(f"device {device!r} can't be used: {reason}; {way_out}", subject=device) from error


def _hidden_gpu() -> str | None:
    """The name of a GPU that the machine has and torch doesn't see, unless it was hidden on purpose."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return None
    if _NVIDIA.is_dir():
        return "an NVIDIA GPU" if any(_NVIDIA.iterdir()) else None
    if tool := shutil.which("nvidia-smi"):
        try:
            said = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.SubprocessError):
            return "an NVIDIA driver that doesn't answer"
        listed = [line.split("(UUID")[0].strip() for line in said.stdout.splitlines() if line.startswith("GPU")]
        if not listed and said.returncode and "No devices were found" not in said.stdout + said.stderr:
            return "an NVIDIA driver that fails"
        return next(iter(listed), None)
    return None


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return "this torch was built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001  torch raises RuntimeError, AssertionError and others here
        return first_line(error).rstrip(".")
    return "CUDA is not available to it"
