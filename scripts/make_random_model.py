"""Save an OpenCLIP architecture with random weights as a `local-dir:` folder: for trying out speed, memory and flow.

    python scripts/make_random_model.py ViT-B-32 /tmp/vit-b-32
    hashtag-photos run --images photos/ --model local-dir:/tmp/vit-b-32

Its labels are chance. None of that depends on the values: how fast it is, what it needs, and that every photo is
accounted for.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file


def save_random_model(architecture: str, folder: Path, seed: int = 0) -> None:
    """Build the architecture from a seed and save configuration and weights as OpenCLIP loads them."""
    torch.manual_seed(seed)
    model = open_clip.create_model(architecture, pretrained=None)
    config = {
        "model_cfg": open_clip.get_model_config(architecture),
        "preprocess_cfg": open_clip.get_model_preprocess_cfg(model),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: values.contiguous() for name, values in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", help="an OpenCLIP architecture, such as ViT-B-32")
    parser.add_argument("folder", type=Path, help="where to save it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    save_random_model(arguments.architecture, arguments.folder, arguments.seed)
    print(f"{arguments.architecture} with random weights: local-dir:{arguments.folder}")


if __name__ == "__main__":
    main()
