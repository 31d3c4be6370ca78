"""Reads a folder of TensorBoard runs with TensorBoard's own code and prints what it found as JSON.

The HParams plug-in is asked as its web page asks it, so that what the page needs is there.
"""

import json
import sys

from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.metadata import parse_session_end_info_plugin_data
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data
from tensorboard.plugins.hparams.metadata import parse_experiment_plugin_data

# All histograms of a tag; without being told so the reader keeps the last.
multiplexer = EventMultiplexer(size_guidance={"histograms": 0}).AddRunsFromDirectory(sys.argv[1])
multiplexer.Reload()
out = {}
metrics = set()
for run, tags in multiplexer.Runs().items():
    scalars = {tag: [[e.step, e.value] for e in multiplexer.Scalars(run, tag)] for tag in tags["scalars"]}
    images = {
        tag: [[e.step, e.width, e.height, e.encoded_image_string[:4].hex()] for e in multiplexer.Images(run, tag)]
        for tag in tags["images"]
    }
    histograms = {
        tag: [[e.step, e.histogram_value.num, sum(e.histogram_value.bucket)] for e in multiplexer.Histograms(run, tag)]
        for tag in tags["histograms"]
    }
    content = multiplexer.GetAccumulator(run).PluginTagToContent("hparams")
    start = parse_session_start_info_plugin_data(content["_hparams_/session_start_info"])
    end = parse_session_end_info_plugin_data(content["_hparams_/session_end_info"])
    experiment = parse_experiment_plugin_data(content["_hparams_/experiment"])
    metrics |= {info.name.tag for info in experiment.metric_infos}
    hparams = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    status = plugin_data_pb2.DESCRIPTOR.pool.FindEnumTypeByName("tensorboard.hparams.Status")
    out[run] = {
        "scalars": scalars,
        "images": images,
        "histograms": histograms,
        "hparams": hparams,
        "status": status.values_by_number[end.status].name,
    }
out["metrics"] = sorted(metrics)
print(json.dumps(out))
