//! What is said on standard error while something takes long: on a terminal a bar, elsewhere a few lines.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Says a sentence to whoever started the program.
pub fn say(sentence: &str) {
    eprintln!("wasm-sandbox: {sentence}");
}

/// The report of one long piece of work.
pub struct Report {
    bar: Option<ProgressBar>,
    started: Instant,
    /// The stage that is under way, and its number.
    stage: &'static str,
    number: usize,
    stages: usize,
    /// How much of the stage was reported to be done, in quarters.
    quarters: usize,
}

impl Report {
    /// Begins with a sentence that says what is done, why, and how long it may take; it has `stages` stages.
    pub fn begin(sentence: &str, stages: usize) -> Self {
        say(sentence);
        let bar = std::io::stderr().is_terminal().then(bar);
        Self { bar, started: Instant::now(), stage: "", number: 0, stages, quarters: 0 }
    }

    /// The next stage begins.
    pub fn stage(&mut self, stage: &'static str) {
        (self.stage, self.quarters, self.number) = (stage, 0, self.number + 1);
        let message = format!("{} of {}: {stage}", self.number, self.stages);
        match &self.bar {
            Some(bar) => {
                bar.set_length(1);
                bar.set_position(0);
                bar.set_message(message);
            }
            None => say(&message),
        }
    }

    /// So many of so many steps of the stage are done.
    pub fn steps(&mut self, done: usize, all: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            return;
        }
        let quarters = 4 * done / all.max(1);
        if quarters > self.quarters && quarters < 4 {
            self.quarters = quarters;
            say(&format!("{} of {}: {}: {} % done", self.number, self.stages, self.stage, 25 * quarters));
        }
    }

    /// Ends with a sentence; `{}` in it is the time it took.
    pub fn end(self, sentence: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(&sentence.replace("{}", &format!("{} s", self.started.elapsed().as_secs())));
    }
}

impl Drop for Report {
    /// Also where the work ends with an error.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {bar:20} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
