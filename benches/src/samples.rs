//! Times that were measured, and what is said of them.

use std::time::Duration;

/// Times of one thing, sorted.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// The median in milliseconds.
    pub fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The time in milliseconds that 99 % stay within.
    pub fn p99(&self) -> f64 {
        self.percentile(99)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that `percent` of all stay within, in milliseconds; one that was measured.
    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort();
        Self(times)
    }
}

/// The geometric mean; `None` of nothing.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let samples: Samples = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!((samples.median(), samples.p99(), samples.count()), (100.0, 198.0, 200));
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn the_geometric_mean_is_of_ratios() {
        assert!((geometric_mean(&[0.5, 2.0, 8.0]).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(geometric_mean(&[]), None);
    }
}
