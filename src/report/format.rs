//! Numbers for people.

/// `11.69 M`
pub fn count(n: u64) -> String {
    let (value, unit) = match n {
        0..1_000 => return n.to_string(),
        1_000..1_000_000 => (n as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (n as f64 / 1e6, "M"),
        _ => (n as f64 / 1e9, "G"),
    };
    format!("{value:.2} {unit}")
}

/// `88.31 ± 0.12`, or the mean alone where there is no deviation, or a dash where there is nothing. What has diverged is
/// written as `1.74e16`.
pub fn mean_std(mean: Option<f64>, std: Option<f64>, decimals: usize) -> String {
    let number = |x: f64| if x.abs() < 1e4 { format!("{x:.decimals$}") } else { format!("{x:.2e}") };
    match (mean, std) {
        (Some(mean), Some(std)) => format!("{} ± {}", number(mean), number(std)),
        (Some(mean), None) => number(mean),
        (None, _) => "–".to_owned(),
    }
}
