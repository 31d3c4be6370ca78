//! What the keys of other programs are called here: the one table of synonyms.
//!
//! Words are those of torchvision's reference scripts, timm's `train.py`, ultralytics, mmpretrain, Lightning and pycls,
//! without case and signs. A key that only stands at another place here needs no line: it is found by its name.

/// What a word means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A key; `*` is the choice that is in use.
    Key(&'static str),
    /// A key with this value.
    Setting(&'static str, &'static str),
    /// Nothing that a file says; why, and what to do.
    Elsewhere(&'static str),
}

use Meaning::{Elsewhere, Key, Setting};

/// Words and what they mean.
pub(super) const KEYS: &[(&[&str], Meaning)] = &[
    // The model.
    (&["arch", "architecture", "backbone", "net", "network", "model_name"], Key("model.name")),
    (&["num_classes", "num_class", "n_classes", "nc", "classes"], Key("model.num_classes")),
    (&["in_chans", "in_channels", "input_channels", "channels"], Key("model.in_chans")),
    (&["drop", "drop_rate", "dropout"], Key("model.dropout")),
    (&["width", "width_multiplier", "width_mult"], Key("model.width")),
    (&["depth", "depth_multiplier"], Key("model.depth")),
    (&["num_layers"], Key("model.num_layers")),
    (&["cardinality"], Key("model.cardinality")),
    (&["base_width"], Key("model.base_width")),
    (&["patch_size"], Key("model.patch_size")),
    (&["embed_dim"], Key("model.embed_dim")),
    (&["num_blocks"], Key("model.num_blocks")),
    (&["drop_path", "drop_path_rate", "drop_connect", "stochastic_depth_prob"], Key("model.drop_path")),
    (
        &[
            "pretrained",
            "weights",
            "checkpoint",
            "finetune",
            "initial_checkpoint",
            "load_from",
            "load_weights",
        ],
        Setting("init", "FILE"),
    ),
    // The data.
    (
        &["data_dir", "data_path", "data_root", "dataset_path", "train_dir"],
        Setting("data.dataset", "folder:DIR"),
    ),
    (
        &["img_size", "imgsz", "img", "input_size", "resolution", "crop_size", "train_crop_size"],
        Key("data.image_size"),
    ),
    (&["num_workers", "n_workers", "dataloader_workers", "loader_workers"], Key("data.workers")),
    (&["val", "valid", "num_test", "test_samples", "val_samples"], Key("data.test")),
    (&["subset", "num_train", "train_samples", "limit_train_batches"], Key("data.train")),
    (&["transform", "transforms", "augmentation", "augmentations", "aug", "augs"], Key("data.augment")),
    (
        &["flip", "hflip", "fliplr", "horizontal_flip", "random_horizontal_flip"],
        Setting("data.augment", "[flip]"),
    ),
    (&["random_crop", "pad_crop", "padding"], Setting("data.augment", "[pad_crop: 4]")),
    (&["random_resized_crop"], Setting("data.augment", "[random_resized_crop]")),
    (&["color_jitter"], Setting("data.augment", "[color_jitter: {brightness: 0.4}]")),
    (&["aa", "auto_augment"], Setting("data.augment", "[auto_augment]")),
    (&["rand_augment"], Setting("data.augment", "[rand_augment]")),
    (&["reprob", "random_erase", "random_erasing"], Setting("data.augment", "[random_erasing]")),
    (&["mixup_alpha"], Key("data.mix.mixup")),
    (&["cutmix_alpha"], Key("data.mix.cutmix")),
    // How to train.
    (&["max_epochs", "num_epochs", "n_epochs", "max_epoch"], Key("train.epochs")),
    (&["max_steps", "max_iters", "num_steps", "iterations"], Key("train.steps")),
    (&["max_time"], Key("train.minutes")),
    (&["early_stop", "early_stopping"], Key("train.patience")),
    (&["bs", "batch", "mini_batch", "train_batch_size"], Key("train.batch_size")),
    (&["test_batch_size", "val_batch_size", "validation_batch_size"], Key("train.eval_batch_size")),
    (
        &["grad_accum_steps", "gradient_accumulation_steps", "accumulate_grad_batches", "accumulation_steps"],
        Key("train.accumulate"),
    ),
    (&["opt", "optim", "optimiser"], Key("train.optimizer")),
    (&["lr", "learning_rate", "base_lr", "lr0", "initial_lr"], Key("train.optimizer.*.lr")),
    (&["wd", "decay", "l2"], Key("train.optimizer.*.weight_decay")),
    (&["opt_betas"], Key("train.optimizer.adamw.betas")),
    (&["opt_eps"], Key("train.optimizer.*.eps")),
    (
        &["lr_scheduler", "scheduler", "sched", "lr_schedule", "lr_policy", "param_scheduler"],
        Key("train.schedule"),
    ),
    (&["cos_lr", "cosine"], Setting("train.schedule", "cosine")),
    (&["warmup", "lr_warmup_epochs"], Key("train.schedule.*.warmup_epochs")),
    (&["lr_step_size", "step_size", "decay_epochs"], Key("train.schedule.step.every")),
    (&["lr_gamma", "decay_rate"], Key("train.schedule.step.gamma")),
    (&["lr_milestones", "decay_milestones"], Key("train.schedule.multi_step.milestones")),
    (&["min_lr", "lr_min", "eta_min", "lrf"], Key("train.schedule.cosine.final_lr")),
    (&["smoothing"], Key("train.label_smoothing")),
    (
        &["clip_grad", "grad_clip", "clip_gradients", "clip_norm", "max_norm", "gradient_clip_val"],
        Key("train.clip_grad_norm"),
    ),
    (&["norm_weight_decay", "no_bias_decay", "bias_decay"], Key("train.decay_norm_and_bias")),
    (&["model_ema", "ema_decay", "model_ema_decay", "use_ema"], Setting("train.ema", "0.9999")),
    (&["amp", "mixed_precision", "bf16", "fp16", "half", "autocast"], Setting("train.precision", "bfloat16")),
    (&["tf32", "allow_tf32"], Setting("train.precision", "tf32")),
    (&["dtype"], Key("train.precision")),
    (&["log_interval", "log_freq", "print_freq", "log_every_n_steps"], Key("train.log_every")),
    (&["save_freq", "save_interval", "checkpoint_every", "checkpoint_interval"], Key("train.save_every")),
    (
        &["eval_freq", "eval_interval", "val_interval", "val_every", "check_val_every_n_epoch"],
        Key("train.eval_every"),
    ),
    // The run.
    (&["random_seed", "manual_seed", "rng_seed"], Key("seed")),
    (&["gpu", "gpus", "cuda", "use_cuda", "accelerator", "devices"], Setting("device", "cuda")),
    (&["num_threads", "cpu_threads"], Key("threads")),
    (
        &["resume", "resume_from"],
        Elsewhere("a run goes on from its directory when the same command runs again"),
    ),
    (
        &["output", "output_dir", "out", "out_dir", "work_dir", "save_dir", "log_dir"],
        Elsewhere("the run directory is chosen when the run is started, not in its file"),
    ),
    (&["channels_last", "memory_format"], Elsewhere("channels_last is always on; remove the key")),
    // An experiment.
    (&["grid", "sweep", "parameters", "search_space"], Key("axes")),
    (&["repeats", "n_seeds", "num_seeds", "runs"], Key("seeds")),
    (&["metric", "monitor"], Key("report.y")),
    (&["flops", "gflops", "mults"], Key("match.macs")),
];

/// Values that other programs write, by the key that takes them: the word, and what it is here.
pub(super) const VALUES: &[(&str, &[&str], &str)] = &[
    ("augment", &["hflip", "fliplr", "horizontal_flip", "random_horizontal_flip"], "flip"),
    ("augment", &["random_crop", "crop", "pad"], "pad_crop: 4"),
    ("augment", &["trivial_augment", "trivial_augment_wide", "aug_mix"], "rand_augment"),
    ("augment", &["cutout", "erasing"], "random_erasing"),
    ("augment", &["mixup"], "data.mix: {mixup: 0.2}"),
    ("augment", &["cutmix"], "data.mix: {cutmix: 1.0}"),
    ("interpolation", &["cubic", "bicubic_interpolation", "3"], "bicubic"),
    ("interpolation", &["linear", "antialias", "2"], "bilinear"),
    ("precision", &["bf16", "bf16-mixed", "amp", "amp_bf16"], "bfloat16"),
    ("precision", &["fp32", "float", "32", "32-true"], "float32"),
    ("precision", &["fp16", "float16", "half", "16", "16-mixed"], "bfloat16"),
    ("optimizer", &["adam"], "adamw"),
    ("optimizer", &["rmsproptf"], "{rmsprop: {tf: true}}"),
    ("optimizer", &["momentum", "nesterov"], "sgd"),
    ("schedule", &["cosineannealinglr", "cosine_annealing", "cos"], "cosine"),
    ("schedule", &["steplr"], "{step: {every: 30}}"),
    ("schedule", &["multisteplr", "multistep"], "{multi_step: {milestones: [30, 60]}}"),
    ("schedule", &["reducelronplateau", "reduce_lr_on_plateau"], "plateau"),
    ("schedule", &["none", "const", "fixed"], "constant"),
];

/// How a key is written, for those that need more than a number: the key, and a value of it.
pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("model", "{name: resnet50}"),
    ("name", "resnet50"),
    ("data", "{dataset: fashion-mnist}"),
    ("dataset", "fashion-mnist"),
    ("optimizer", "{sgd: {lr: 0.1}}"),
    ("schedule", "{step: {every: 30}}"),
    ("every", "30"),
    ("milestones", "[30, 60]"),
    ("augment", "[pad_crop: 4, flip]"),
    ("pad_crop", "4"),
    ("mix", "{mixup: 0.2}"),
    ("mean", "[0.485, 0.456, 0.406]"),
    ("std", "[0.229, 0.224, 0.225]"),
    ("betas", "[0.9, 0.999]"),
    ("device", "cuda:0"),
    ("question", "Is wider better than deeper?"),
    ("from", "FILE"),
    ("by", "model.width"),
];
