//! The lines that a run prints before it starts.

use super::progress::thousands;
use tchvision::train::{Header, Memory, Precision};

/// The header as aligned lines.
pub fn header_lines(header: &Header) -> String {
    let [channels, height, width] = header.input;
    let frozen = match header.params.saturating_sub(header.trainable) {
        0 => String::new(),
        frozen => format!(", {} of them frozen", thousands(frozen)),
    };
    let skipped = match header.skipped {
        0 => String::new(),
        skipped => format!(", {} unreadable", thousands(skipped as u64)),
    };
    let [train, test] = [header.train_images, header.test_images].map(|n| thousands(n as u64));
    let validation = header
        .validation_images
        .map_or(String::new(), |images| format!(", {} validation", thousands(images as u64)));
    let parts = match (header.accumulate, header.ranks) {
        (1, _) => String::new(),
        (parts, 1) => format!(" in {parts} micro-batches"),
        (parts, ranks) => format!(" in {parts} micro-batches by {ranks} processes"),
    };
    let from = match header.step {
        0 => String::new(),
        step => format!(", from step {} on", thousands(step)),
    };
    let precision = match header.precision {
        Precision::Float32 => "float32",
        Precision::Tf32 => "tf32",
        Precision::Bfloat16 => "bfloat16",
    };
    let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    let lines = [
        (
            "model",
            format!(
                "{}: {} parameters{frozen}, {} multiply-adds an image",
                header.model,
                thousands(header.params),
                si(header.macs)
            ),
        ),
        ("weights", header.weights.clone()),
        ("teacher", header.teacher.clone().unwrap_or_default()),
        ("data", format!("{}: {train} training{validation} and {test} test images{skipped}", header.dataset)),
        ("input", format!("{channels}×{height}×{width}, {} classes", header.classes)),
        (
            "training",
            format!(
                "{} steps of {} images{parts}{from}: {} of {} steps",
                thousands(header.steps),
                header.batch_size,
                plural(header.epochs as usize, "epoch"),
                thousands(header.steps_per_epoch)
            ),
        ),
        ("optimizer", format!("{}; {}", header.optimizer, header.schedule)),
        (
            "device",
            format!(
                "{}; {precision}, {}, {}",
                header.device,
                plural(header.threads, "thread"),
                plural(header.workers, "loading thread")
            ),
        ),
        ("memory", memory(&header.memory)),
    ];
    let lines = lines.iter().filter(|(_, text)| !text.is_empty());
    lines.map(|(name, text)| format!("{name:<10} {text}")).collect::<Vec<_>>().join("\n")
}

fn memory(memory: &Memory) -> String {
    let Memory { resident, weights, gradients, optimizer, averages, activations, available } = memory;
    let parts = [
        ("program and data", resident),
        ("weights", weights),
        ("gradients", gradients),
        ("optimizer", optimizer),
        ("averages", averages),
        ("a batch", activations),
    ];
    let parts = parts.iter().filter(|(_, bytes)| **bytes >= 1 << 20);
    let parts: Vec<_> = parts.map(|(name, bytes)| format!("{name} {}", size(**bytes))).collect();
    let needed = memory.needed();
    let left = match available {
        Some(available) if *available < needed => {
            format!("; {} more are needed, but {} available", size(needed), size(*available))
        }
        Some(available) => format!("; {} more are available", size(*available)),
        None => String::new(),
    };
    format!("about {} ({}){left}", size(resident + needed), parts.join(", "))
}

/// A number of bytes in binary units.
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1000.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// `40.6 M`.
fn si(n: u64) -> String {
    match n as f64 {
        n if n >= 1e12 => format!("{:.1} T", n / 1e12),
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n => format!("{n}"),
    }
}
