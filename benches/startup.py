"""PyTorch's side of `tchvision bench startup`: from the start of Python to the logits of one image.

    startup.py FILE.safetensors              prints {"peak_bytes": …}
"""

import json
import resource
import sys

import safetensors.torch
import timm
import torch

model = timm.create_model("resnet50")
model.load_state_dict(safetensors.torch.load_file(sys.argv[1]))
with torch.inference_mode():
    logits = model.eval()(torch.zeros(1, 3, 224, 224))
assert logits.shape == (1, 1000)
print(json.dumps({"peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
