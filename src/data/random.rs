//! Named random streams: the same (seed, purpose, epoch, index) gives the same numbers, in any order and on
//! any thread.

/// SplitMix64 (Steele, Lea, Flood 2014), seeded by a hash of the stream's name.
#[derive(Clone, Debug)]
pub struct Stream {
    state: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream with this name.
    pub fn new(seed: u64, purpose: &str, epoch: u64, index: u64) -> Self {
        let name = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let state = [name, epoch, index]
            .iter()
            .fold(mix(seed), |h, x| mix(h.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ x));
        Self { state }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform in [0, `n`), unbiased (Lemire 2019); 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let threshold = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= threshold {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Beta distributed with both parameters `alpha`.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        let (a, b) = (self.log_gamma(alpha), self.log_gamma(alpha));
        1.0 / (1.0 + (b - a).exp())
    }

    /// Dirichlet distributed with all parameters `alpha`: numbers that sum to 1.
    pub fn dirichlet(&mut self, count: usize, alpha: f64) -> Vec<f64> {
        let logs: Vec<f64> = (0..count).map(|_| self.log_gamma(alpha)).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
        logs.iter().map(|log| (log - largest).exp() / total).collect()
    }

    /// The logarithm of a gamma variate of shape `alpha` > 0 (Marsaglia and Tsang 2000); for small shapes the
    /// variate itself would underflow to 0.
    fn log_gamma(&mut self, alpha: f64) -> f64 {
        if alpha < 1.0 {
            return self.log_gamma(alpha + 1.0) + (1.0 - self.uniform()).ln() / alpha;
        }
        let d = alpha - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < x * x / 2.0 + d - d * v + d * v.ln() {
                return d.ln() + v.ln();
            }
        }
    }

    /// Fisher–Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}
