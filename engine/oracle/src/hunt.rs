//! Runs many cases on both, and reports what differs.

use crate::case::{Case, Outcome};
use crate::compare::differences;
use crate::generate::Generator;
use crate::guest::{Guest, System};
use crate::minimize::minimize;
use crate::report::{self, Report};
use crate::silicon::{BATCH, Silicon};
use std::io::Result;

/// Whether all that differs in one kind of difference differs in the other, for the same instruction.
fn is_part(kind: &str, of: &str) -> bool {
    kind.split(' ').next() == of.split(' ').next() && kind.split(' ').all(|place| of.split(' ').any(|known| known == place))
}

/// The processor and the engine, side by side.
pub struct Pair {
    silicon: Silicon,
    guest: Guest,
}

impl Pair {
    /// Starts both; see [`Guest::new`].
    ///
    /// # Errors
    /// When no process can be started.
    pub fn new(system: System, through_gates: bool) -> Result<Self> {
        // The child is a copy of this process, which is small before the engine is made.
        let silicon = Silicon::new()?;
        Ok(Self { silicon, guest: Guest::new(system, through_gates) })
    }

    /// Runs one case on both.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn run(&mut self, case: &Case) -> Result<(Outcome, Outcome)> {
        let mut native = self.silicon.run(std::slice::from_ref(case))?;
        Ok((native.remove(0), self.guest.run(case)))
    }

    /// Makes the examples of a report plain: at most so many of each mnemonic.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn simplify(&mut self, report: &mut Report, examples: usize) -> Result<()> {
        for entry in report.entries.values_mut() {
            let mut kinds: Vec<_> = entry.examples.iter_mut().collect();
            kinds.sort_by_key(|(_, example)| std::cmp::Reverse(example.count));
            for (kind, example) in kinds.into_iter().take(examples) {
                let mut failed = None;
                let simple = minimize(&example.case, |case| match self.run(case) {
                    Ok((native, engine)) => {
                        let found = differences(case, &native, &engine);
                        !found.is_empty() && is_part(&report::kind(case, &found), kind)
                    }
                    Err(error) => {
                        failed = Some(error);
                        false
                    }
                });
                if let Some(error) = failed {
                    return Err(error);
                }
                let (native, engine) = self.run(&simple)?;
                let found = differences(&simple, &native, &engine);
                // What depends on cases before it is shown as it was found.
                if !found.is_empty() {
                    (example.case, example.differences) = (simple, found);
                }
            }
        }
        Ok(())
    }

    /// Runs these cases of a generator on both.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn hunt(&mut self, generator: &Generator, numbers: std::ops::Range<u64>) -> Result<Report> {
        let mut report = Report { skipped: generator.catalogue.skipped.len(), ..Report::default() };
        let mut samples = numbers.filter_map(|number| generator.sample(number)).peekable();
        while samples.peek().is_some() {
            let batch: Vec<_> = samples.by_ref().take(BATCH).collect();
            let cases: Vec<Case> = batch.iter().map(|sample| sample.case.clone()).collect();
            self.silicon.begin(&cases);
            let engine: Vec<Outcome> = cases.iter().map(|case| self.guest.run(case)).collect();
            let native = self.silicon.finish()?;
            for ((sample, native), engine) in batch.iter().zip(&native).zip(&engine) {
                let found = differences(&sample.case, native, engine);
                report.note(sample.code.mnemonic(), sample.family, &sample.case, &found);
            }
        }
        Ok(report)
    }
}
