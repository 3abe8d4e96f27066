//! Figures and the tables they end in.

use crate::samples::Samples;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Megabytes a second.
    MegabytesPerSecond,
    /// Megabytes (2^20 bytes).
    Megabytes,
    /// Percent of one core.
    PercentOfCore,
    /// Times as much.
    Times,
    /// Pieces.
    Count,
}

impl Unit {
    fn show(self, value: f64) -> String {
        let digits = match value.abs() {
            _ if self == Self::Count => 0,
            0.0..1.0 => 3,
            1.0..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        let name = match self {
            Self::Milliseconds => " ms",
            Self::MegabytesPerSecond => " MB/s",
            Self::Megabytes => " MB",
            Self::PercentOfCore => " %",
            Self::Times => " x",
            Self::Count => "",
        };
        format!("{value:.digits$}{name}")
    }
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl Goal {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// One row: a figure, its goal, and what it is compared with.
#[derive(Clone, Debug)]
pub struct Figure {
    what: String,
    value: f64,
    unit: Unit,
    detail: String,
    goal: Option<Goal>,
    references: Vec<(String, f64)>,
}

impl Figure {
    /// A figure alone.
    pub fn new(what: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { what: what.into(), value, unit, detail: String::new(), goal: None, references: Vec::new() }
    }

    /// The median of times, with the rest of them as details.
    pub fn median(what: impl Into<String>, samples: &Samples) -> Self {
        let detail = format!("p99 {}, {} runs", Unit::Milliseconds.show(samples.p99()), samples.count());
        Self::new(what, samples.median(), Unit::Milliseconds).detail(detail)
    }

    /// The same figure with something said about it.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same figure with a goal.
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// The same figure beside another one, if that was measured.
    pub fn beside(mut self, name: &str, value: Option<f64>) -> Self {
        self.references.extend(value.filter(|value| *value > 0.0).map(|value| (name.to_owned(), value)));
        self
    }

    fn row(&self) -> String {
        let goal = match self.goal {
            None => String::new(),
            Some(Goal::AtMost(limit)) => format!("≤ {}", self.unit.show(limit)),
            Some(Goal::AtLeast(limit)) => format!("≥ {}", self.unit.show(limit)),
        };
        let reached = match self.goal {
            None => "",
            Some(goal) if goal.reached(self.value) => "yes",
            Some(_) => "**no**",
        };
        let list = |show: &dyn Fn(&(String, f64)) -> String| {
            self.references.iter().map(show).collect::<Vec<_>>().join("; ")
        };
        let references = list(&|(name, value)| format!("{name}: {}", self.unit.show(*value)));
        let ratios = list(&|(_, value)| Unit::Times.show(self.value / value));
        let value = self.unit.show(self.value);
        format!(
            "| {} | {value} | {} | {goal} | {reached} | {references} | {ratios} |",
            self.what, self.detail
        )
    }
}

/// A table.
#[derive(Debug, Default)]
struct Section {
    title: String,
    figures: Vec<Figure>,
    /// The machine's load average of a minute when the last figure came.
    load: String,
}

/// What becomes the document.
#[derive(Debug, Default)]
pub struct Report {
    sections: Vec<Section>,
    notes: Vec<String>,
}

impl Report {
    /// Begins a table.
    pub fn section(&mut self, title: &str) {
        self.sections.push(Section { title: title.to_owned(), ..Section::default() });
    }

    /// Adds a row to the present table, and shows it.
    pub fn add(&mut self, figure: Figure) {
        eprintln!("{}", figure.row());
        if self.sections.is_empty() {
            self.section("Figures");
        }
        if let Some(section) = self.sections.last_mut() {
            section.figures.push(figure);
            section.load = load();
        }
    }

    /// Adds a sentence about what was not measured, and why.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        eprintln!("bench: {note}");
        self.notes.push(note);
    }

    /// Everything as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let mut put = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        let figures = || self.sections.iter().flat_map(|section| &section.figures);
        let (with_goal, missed): (Vec<_>, Vec<_>) = (
            figures().filter(|figure| figure.goal.is_some()).collect(),
            figures().filter(|figure| figure.goal.is_some_and(|goal| !goal.reached(figure.value))).collect(),
        );
        put(&format!("{} of {} goals are reached.", with_goal.len() - missed.len(), with_goal.len()));
        for section in self.sections.iter().filter(|section| !section.figures.is_empty()) {
            put(&format!("\n## {}\n", section.title));
            put("| what | figure | | goal | reached | reference, same run | ratio to it |");
            put("|---|---:|---|---:|---|---|---:|");
            section.figures.iter().for_each(|figure| put(&figure.row()));
            put(&format!("\nLoad of the machine at the end of these: {}.", section.load));
        }
        if !self.notes.is_empty() {
            put("\n## Not measured\n");
            self.notes.iter().for_each(|note| put(&format!("* {note}")));
        }
        text
    }
}

/// How many programs want to run, on average of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_goal_is_reached() {
        let figure = Figure::new("start", 50.0, Unit::Milliseconds).beside("native", Some(25.0));
        assert_eq!(figure.row(), "| start | 50.0 ms |  |  |  | native: 25.0 ms | 2.00 x |");
        let missed = figure.clone().goal(Goal::AtMost(40.0));
        assert!(missed.row().contains("| ≤ 40.0 ms | **no** |"), "{}", missed.row());
        assert!(figure.goal(Goal::AtLeast(40.0)).row().contains("| yes |"));
        assert!(missed.beside("nothing", None).row().ends_with("| 2.00 x |"));
    }

    #[test]
    fn the_document_counts_goals() {
        let mut report = Report::default();
        report.section("Times");
        report.add(Figure::new("a", 1.0, Unit::Count).goal(Goal::AtMost(2.0)));
        report.add(Figure::new("b", 3.0, Unit::Count).goal(Goal::AtMost(2.0)));
        assert!(report.markdown().starts_with("1 of 2 goals are reached.\n"));
    }
}
