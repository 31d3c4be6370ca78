//! What the steps are, and who does them.

use serde::{Deserialize, Serialize};

/// The contestant that is a program of its own.
pub const CANDLE: &str = "candle";

/// What a step is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    Infer,
    Train,
}

/// Another way of doing the same step: its name, how it is set, and whether it has a GPU's side.
pub struct Other {
    pub name: &'static str,
    pub how: &'static str,
    gpu: bool,
}

const CHANNELS_LAST: Other = Other {
    name: "eager_channels_last",
    how: "the same with model and input in channels_last order",
    gpu: true,
};

const TUNED: Other = Other {
    name: "eager_tuned",
    how: "the same with glibc's allocator set as ours (GLIBC_TUNABLES)",
    gpu: false,
};

const INFER: &[Other] = &[
    Other { name: "eager", how: "PyTorch in inference mode, as it comes", gpu: true },
    CHANNELS_LAST,
    TUNED,
    Other { name: "compile", how: "torch.compile over channels_last, with Inductor's freezing", gpu: true },
    Other { name: "torchscript", how: "traced, frozen, optimize_for_inference, channels_last", gpu: false },
    Other { name: "onnxruntime", how: "the ONNX export, all its optimisations", gpu: false },
    Other { name: "openvino", how: "the ONNX export, one stream, hinted to the row's dtype", gpu: false },
    Other { name: CANDLE, how: "candle-transformers' own model, built for this processor", gpu: false },
];

const TRAIN: &[Other] = &[
    Other { name: "eager", how: "PyTorch with torch.optim.SGD, as it comes", gpu: true },
    CHANNELS_LAST,
    TUNED,
    Other { name: "compile", how: "torch.compile over channels_last", gpu: true },
];

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Work::Infer => "infer",
            Work::Train => "train",
        }
    }

    /// How ours is set.
    pub fn own(self) -> &'static str {
        match self {
            Work::Infer => "a frozen model, channels_last, allocator kept warm",
            Work::Train => "the trainer's step: channels_last, allocator kept warm, fused SGD",
        }
    }

    pub fn others(self, gpu: bool) -> impl Iterator<Item = &'static Other> {
        let all = match self {
            Work::Infer => INFER,
            Work::Train => TRAIN,
        };
        all.iter().filter(move |other| other.gpu || !gpu)
    }

    /// Models and batches that are timed where none is named.
    pub fn defaults(self, gpu: bool) -> Vec<(&'static str, i64)> {
        match self {
            Work::Infer => {
                let models = [
                    "torchvision/resnet50",
                    "torchvision/resnext50_32x4d",
                    "torchvision/densenet121",
                    "timm/mobilenetv1_100",
                    "torchvision/mobilenet_v3_large",
                    "torchvision/efficientnet_b0",
                    "torchvision/vgg16",
                    "torchvision/vit_b_16",
                    "torchvision/swin_t",
                ];
                let batches: &[i64] = if gpu { &[1, 32, 256] } else { &[1, 16] };
                models
                    .into_iter()
                    .flat_map(|model| batches.iter().map(move |&batch| (model, batch)))
                    .collect()
            }
            Work::Train if gpu => vec![
                ("paper/wrn_16_4", 128),
                ("paper/resnet20", 128),
                ("paper/resnext29_8x16d", 128),
                ("torchvision/resnet18", 256),
                ("timm/vit_tiny_patch16_224", 256),
            ],
            Work::Train => vec![
                ("paper/wrn_16_4", 128),
                ("paper/resnet20", 128),
                ("paper/resnext29_8x16d", 64),
                ("torchvision/resnet18", 16),
                ("timm/vit_tiny_patch16_224", 16),
            ],
        }
    }
}
