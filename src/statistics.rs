//! Means and medians, confidence intervals by Student's t, Pareto fronts and power laws.

/// The confidence level of an interval.
const CONFIDENCE: f64 = 0.95;

/// The middle of the values, or of the two in the middle; `None` of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(low)?, *values.get(high)?))
}

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of a sample (n − 1); `None` of fewer than two values.
pub fn std(values: &[f64]) -> Option<f64> {
    variance(values).map(f64::sqrt)
}

fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    Some(squares / (values.len() - 1) as f64)
}

/// An estimate and the ends of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    fn new(value: f64, standard_error: f64, freedom: usize) -> Self {
        let half = student_quantile(0.5 + CONFIDENCE / 2.0, freedom as f64) * standard_error;
        Self { value, low: value - half, high: value + half }
    }

    /// Whether the interval excludes 0.
    pub fn is_clear(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The mean of a normal population from which `values` are drawn; `None` of fewer than two, and where all are equal:
/// so few values without spread do not mean that there is none.
pub fn mean_estimate(values: &[f64]) -> Option<Estimate> {
    let (mean, variance) = (mean(values)?, variance(values)?);
    let standard_error = (variance / values.len() as f64).sqrt();
    (variance > 0.0).then(|| Estimate::new(mean, standard_error, values.len() - 1))
}

/// The indices of the points (cost, value) that no other beats in both, from cheap to expensive; of equal points the first.
pub fn pareto_front(points: &[(f64, f64)], better: impl Fn(f64, f64) -> bool) -> Vec<usize> {
    let beats =
        |a: (f64, f64), b: (f64, f64)| a.0 <= b.0 && !better(b.1, a.1) && (a.0 < b.0 || better(a.1, b.1));
    let mut front: Vec<usize> = Vec::new();
    for (i, &point) in points.iter().enumerate() {
        let beaten = points.iter().any(|&other| beats(other, point));
        if !beaten && !front.iter().any(|&j| points[j] == point) {
            front.push(i);
        }
    }
    front.sort_by(|&i, &j| points[i].0.total_cmp(&points[j].0));
    front
}

/// Whether costs differ by more than the tolerance of a match.
pub fn differ(costs: impl Iterator<Item = f64>) -> bool {
    let (low, high) = costs.fold((f64::MAX, 0.0), |(low, high), x| (x.min(low), x.max(high)));
    high >= SAME * low
}

/// `y = scale · x^exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    pub scale: f64,
    pub exponent: Estimate,
    /// Share of the variance of log y that the law explains.
    pub r_squared: f64,
}

/// The x of a power law span at least this factor: variants of matched cost show none.
const SPAN: f64 = 1.5;

/// Costs closer than this factor count as one: two groups of variants always lie on some power law.
const SAME: f64 = 1.1;

/// A straight line through the logarithms, by least squares; `None` below three different x, where these are nearly
/// equal, or where a number is not positive.
pub fn power_law(points: &[(f64, f64)]) -> Option<PowerLaw> {
    let mut distinct: Vec<f64> = points.iter().map(|p| p.0).collect();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup_by(|next, one| *next < SAME * *one);
    if distinct.len() < 3 || points.iter().any(|&(x, y)| !(x > 0.0 && y > 0.0)) {
        return None;
    }
    if distinct.last().zip(distinct.first()).is_none_or(|(high, low)| *high < SPAN * low) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|&(x, y)| (x.ln(), y.ln())).collect();
    let n = logs.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| logs.iter().map(value).sum::<f64>() / n;
    let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |value: &dyn Fn(f64, f64) -> f64| -> f64 {
        logs.iter().map(|&(x, y)| value(x - mean_x, y - mean_y)).sum()
    };
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    let slope = xy / xx;
    let residual = sum(&|x, y| (y - slope * x).powi(2));
    let freedom = logs.len() - 2;
    Some(PowerLaw {
        scale: (mean_y - slope * mean_x).exp(),
        exponent: Estimate::new(slope, (residual / freedom as f64 / xx).sqrt(), freedom),
        r_squared: if yy > 0.0 { 1.0 - residual / yy } else { 1.0 },
    })
}

/// The value below which Student's t of so many degrees of freedom stays with probability `p` (above a half).
fn student_quantile(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_below(high, freedom) < p && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if student_below(middle, freedom) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The probability that Student's t stays below `t` ≥ 0.
fn student_below(t: f64, freedom: f64) -> f64 {
    1.0 - 0.5 * beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method).
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on this side alone.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(1.0 - x, b, a);
    }
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in (1..=300).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    let log = log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * x.ln() + b * (1.0 - x).ln();
    log.exp() * fraction / a
}

/// ln Γ(x) for x > 0: Stirling's series above 10, the recurrence below.
fn log_gamma(x: f64) -> f64 {
    if x < 10.0 {
        return log_gamma(x + 1.0) - x.ln();
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5))
        - 1.0 / (1680.0 * x.powi(7));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6 * b.abs().max(1.0)
    }

    /// Of `scipy.stats.t.ppf(0.975, n)`.
    #[test]
    fn quantiles_are_students() {
        let known = [(1.0, 12.706_204_736), (2.0, 4.302_652_73), (4.0, 2.776_445_105), (30.0, 2.042_272_456)];
        for (freedom, want) in known {
            let got = student_quantile(0.975, freedom);
            assert!(close(got, want), "{freedom}: {got}");
        }
        assert!(close(student_quantile(0.975, 1e6), 1.959_966), "it nears the normal's");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn none_beats_the_pareto_front() {
        let points = [(4.0, 80.0), (1.0, 70.0), (2.0, 69.0), (2.0, 75.0), (3.0, 75.0), (1.0, 70.0)];
        assert_eq!(pareto_front(&points, |a, b| a > b), [1, 3, 0]);
        assert_eq!(pareto_front(&points, |a, b| a < b), [1, 2]);
    }

    #[test]
    fn a_mean_has_its_interval() {
        let estimate = mean_estimate(&[1.0, 2.0, 3.0]).unwrap();
        assert!(close(estimate.value, 2.0) && close(estimate.high, 2.0 + 4.302_652_73 / 3f64.sqrt()));
        assert!(!estimate.is_clear());
        assert!(mean_estimate(&[1.0, 1.1, 0.9]).unwrap().is_clear());
        assert_eq!(mean_estimate(&[1.0]), None);
        assert_eq!(mean_estimate(&[0.5, 0.5]), None, "no interval without width");
    }

    #[test]
    fn a_power_law_is_found_and_its_noise_widens_the_interval() {
        let exact: Vec<(f64, f64)> = [1.0, 2.0, 4.0, 8.0].map(|x: f64| (x, 3.0 * x.powf(-0.5))).into();
        let law = power_law(&exact).unwrap();
        assert!(close(law.scale, 3.0) && close(law.exponent.value, -0.5) && close(law.r_squared, 1.0));
        assert!(law.exponent.high - law.exponent.low < 1e-6);
        let noisy: Vec<(f64, f64)> =
            exact.iter().zip([1.1, 0.9, 1.1, 0.9]).map(|(&(x, y), f)| (x, y * f)).collect();
        let law = power_law(&noisy).unwrap();
        assert!(law.exponent.low < -0.5 && law.exponent.high > -0.5 && law.r_squared < 1.0);
        assert_eq!(power_law(&exact[..2]), None);
        assert_eq!(power_law(&[(1.0, 1.0), (1.02, 0.9), (1.03, 1.1)]), None, "costs are equal");
        assert_eq!(power_law(&[(1.0, 1.0), (4.0, 0.9), (4.1, 1.1)]), None, "two groups");
        assert_eq!(power_law(&[(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]), None);
    }
}
