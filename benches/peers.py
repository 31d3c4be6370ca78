"""The other libraries' side of `tchvision bench infer` and `bench train`: one process per peer.

    peers.py WORK PEER MODEL BATCH HEIGHT WIDTH DTYPE THREADS DEVICE

Once warm, prints the versions that it uses as JSON; then, for every number N on stdin, a JSON list of the milliseconds
of N steps. If a peer is not installed, exits with code 3 and a message that names the missing package.
"""

import contextlib
import json
import os
import sys
import time

WORK, PEER, MODEL, BATCH, HEIGHT, WIDTH, DTYPE, THREADS, DEVICE = sys.argv[1:]
BATCH, HEIGHT, WIDTH, THREADS = int(BATCH), int(HEIGHT), int(WIDTH), int(THREADS)
# Lines for the parent go to the real stdout; what libraries print goes to stderr.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import torch  # noqa: E402
from torch import nn  # noqa: E402

torch.set_num_threads(THREADS)
torch.manual_seed(0)
torch.backends.cudnn.benchmark = True  # on a GPU, as in ours
# The versions of the libraries in use.
VERSIONS = {"torch": torch.__version__}


def resnet_of_small_images(stem, planes, blocks, block, classes=10):
    """Three stages of `blocks` blocks after a 3×3 convolution, as in the papers' nets for CIFAR."""
    layers, channels = [nn.Conv2d(3, stem, 3, padding=1, bias=False)], stem
    if block is not Wide:
        layers += [nn.BatchNorm2d(stem), nn.ReLU(inplace=True)]
    for stage, width in enumerate(planes):
        for index in range(blocks):
            layers.append(block(channels, width, 2 if stage > 0 and index == 0 else 1))
            channels = layers[-1].outputs
    if block is Wide:
        layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Basic(nn.Module):
    """Two 3×3 convolutions; shortcut A."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.stride, self.more, self.outputs = stride, outputs - inputs, outputs

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.more:
            half = self.more // 2
            x = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.more - half))
        return self.relu(y + x)


class Wide(nn.Module):
    """Pre-activation, projection where the shape changes."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        change = inputs != outputs or stride != 1
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if change else None
        self.outputs = outputs

    def forward(self, x):
        y = self.relu(self.bn1(x))
        bypass = self.shortcut(y) if self.shortcut else x
        return self.conv2(self.relu(self.bn2(self.conv1(y)))) + bypass


class Grouped(nn.Module):
    """ResNeXt's bottleneck with 8 groups of 16 channels at 64 planes, projection where the shape changes."""

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.outputs, width = 4 * planes, 2 * planes
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, self.outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(self.outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = None
        if inputs != self.outputs or stride != 1:
            conv = nn.Conv2d(inputs, self.outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(self.outputs))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (self.shortcut(x) if self.shortcut else x))


PAPER = {
    "resnet20": lambda: resnet_of_small_images(16, (16, 32, 64), 3, Basic),
    "resnext29_8x16d": lambda: resnet_of_small_images(64, (64, 128, 256), 3, Grouped),
    "wrn_16_4": lambda: resnet_of_small_images(16, (64, 128, 256), 2, Wide),
}


def build():
    source, name = MODEL.split("/")
    if source == "torchvision":
        import torchvision

        VERSIONS["torchvision"] = torchvision.__version__
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, **extra)
    if source == "timm":
        import timm

        VERSIONS["timm"] = timm.__version__
        return timm.create_model(name)
    if name not in PAPER:
        raise SystemExit(f"peers.py has no {MODEL}")
    return PAPER[name]()


def missing(package):
    print(f"{PEER}: {package} is not installed: pip install {package}", file=sys.stderr)
    raise SystemExit(3)


def inference(model, x):
    """A function that runs one pass."""
    model = model.eval()
    if DTYPE == "bfloat16":
        model, x = model.to(torch.bfloat16), x.to(torch.bfloat16)
    if PEER in ("onnxruntime", "openvino"):
        return exported(model, x)
    if PEER != "eager":
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    if PEER == "compile":
        from torch._inductor import config

        config.freezing = True
        model = torch.compile(model)
    if PEER == "torchscript":
        with torch.no_grad():
            model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, x)))
    return lambda: model(x)


def exported(model, x):
    import tempfile

    try:
        import onnx  # noqa: F401
    except ImportError:
        missing("onnx")
    # The fused attention of eager PyTorch has no ONNX operator.
    torch.backends.mha.set_fastpath_enabled(False)
    path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    with torch.no_grad():
        torch.onnx.export(model.float(), (x.float(),), path, dynamo=False, input_names=["x"], output_names=["y"])
    values = x.float().numpy()
    if PEER == "onnxruntime":
        try:
            import onnxruntime
        except ImportError:
            missing("onnxruntime")
        if DTYPE == "bfloat16":
            raise SystemExit("onnxruntime does not compute in bfloat16 on the CPU")
        VERSIONS["onnxruntime"] = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": values})
    try:
        import openvino
    except ImportError:
        missing("openvino")
    VERSIONS["openvino"] = openvino.__version__.split("-")[0]
    core = openvino.Core()
    precision = "bf16" if DTYPE == "bfloat16" else "f32"
    hints = {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
    request = core.compile_model(core.read_model(path), "CPU", hints).create_infer_request()
    return lambda: request.infer({0: values})


def training(model, x):
    """A function that runs one step of SGD."""
    model = model.train()
    if PEER != "eager":
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    forward = torch.compile(model) if PEER == "compile" else model
    labels = torch.arange(BATCH, device=DEVICE) % 10
    autocast = torch.autocast(x.device.type, torch.bfloat16) if DTYPE == "bfloat16" else contextlib.nullcontext()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            logits = forward(x)
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def main():
    model, x = build().to(DEVICE), torch.rand(BATCH, 3, HEIGHT, WIDTH, device=DEVICE)
    step = inference(model, x) if WORK == "infer" else training(model, x)
    guard = torch.inference_mode() if WORK == "infer" else contextlib.nullcontext()
    with guard:
        for _ in range(3):
            step()
        print(json.dumps({"versions": VERSIONS}), file=ANSWERS, flush=True)
        for line in sys.stdin:
            times = []
            for _ in range(int(line)):
                start = time.perf_counter()
                step()
                if x.is_cuda:
                    torch.cuda.synchronize(x.device)
                times.append(1000 * (time.perf_counter() - start))
            print(json.dumps(times), file=ANSWERS, flush=True)


main()
