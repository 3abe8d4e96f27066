//! Requests side by side: answers and events in whatever order they come.

use serde_json::{Value, json};

use super::{Answer, Cancelled, Done, ErrorCode, Event, Failure, Session, Started, shell_request};

impl Session {
    /// Sends a request that does not wait for those before it.
    pub fn send_async(&mut self, mut request: Value) -> Value {
        request["async"] = json!(true);
        self.send(request)
    }

    /// The answer to `id`, whatever comes before it; that is kept.
    pub fn answer<T: Answer>(&mut self, kind: &str, id: &Value) -> T {
        let line = self.line_where(|line| line["type"] != "event" && line["id"] == *id);
        T::read(&line, kind, id)
    }

    /// The line that answers `id`, whatever it says.
    pub fn any_answer(&mut self, id: &Value) -> String {
        self.line_where(|line| line["type"] != "event" && line["id"] == *id)
    }

    /// Sends a request and waits for its answer; whatever comes before it is kept.
    pub fn ask<T: Answer>(&mut self, request: Value) -> T {
        let kind = request["type"].as_str().expect("a type").to_owned();
        let id = self.send(request);
        self.answer(&kind, &id)
    }

    /// The refusal of the request `id`.
    pub fn refused(&mut self, kind: &str, id: &Value, code: ErrorCode) -> Failure {
        let failure: Failure = self.answer(kind, id);
        assert_eq!(failure.error_code, code, "{}", failure.error);
        failure
    }

    /// The next event of the request `id`.
    pub fn event(&mut self, id: &Value) -> Event {
        let line = self.line_where(|line| line["type"] == "event" && line["id"] == *id);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The events of the request `id` that have come; there is nothing else that waits to be looked at.
    pub fn events_so_far(&mut self, id: &Value) -> Vec<Event> {
        let lines = std::mem::take(&mut self.kept);
        let read =
            |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let events: Vec<Event> = lines.iter().map(read).collect();
        assert!(events.iter().all(|event| event.kind == "event" && event.id == *id), "{lines:?}");
        let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "gaps in the numbers");
        events
    }

    /// Lets go of what was kept: answers that no test looks at.
    pub fn forget(&mut self) {
        let _: super::Status = self.ask(json!({"type": "status"}));
        self.kept.clear();
    }

    /// From now on its output is not read.
    pub fn stop_reading(&self) {
        *self.gate.0.lock().expect("nobody panics with it") = false;
    }

    /// Its output is read again.
    pub fn go_on_reading(&self) {
        *self.gate.0.lock().expect("nobody panics with it") = true;
        self.gate.1.notify_all();
    }

    /// Waits until the program has almost nothing to do any more. On a busy host that may be seen too early, which
    /// makes a test less strict, but not wrong.
    pub fn wait_until_it_rests(&self) {
        const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);
        const A_TENTH: u64 = 5;
        let ticks = || {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the program runs");
            let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
            let number = |index: usize| fields[index].parse::<u64>().expect("a number");
            number(11) + number(12)
        };
        let mut before = ticks();
        loop {
            std::thread::sleep(LOOK_AGAIN);
            let now = ticks();
            if now - before <= A_TENTH {
                return;
            }
            before = now;
        }
    }

    fn line_where(&mut self, wanted: impl Fn(&Value) -> bool) -> String {
        let matches = |line: &str| wanted(&serde_json::from_str(line).expect("JSON"));
        if let Some(index) = self.kept.iter().position(|line| matches(line)) {
            return self.kept.remove(index);
        }
        loop {
            let line =
                self.next_line().unwrap_or_else(|| panic!("the output ended; stderr: {}", self.stderr()));
            if matches(&line) {
                return line;
            }
            self.kept.push(line);
        }
    }

    /// Starts a command in the background; its name.
    pub fn background(&mut self, command: &str, mut fields: Value) -> String {
        fields["background"] = json!(true);
        let mut request = shell_request(command, fields);
        request.as_object_mut().expect("an object").remove("time_limit_ms");
        let started: Started = self.ask(request);
        assert!(started.pid > 0 && started.process_id.starts_with('p'), "{started:?}");
        started.process_id
    }

    /// Waits until a process in the background has written a line.
    pub fn wait_log(&mut self, process: &str, pattern: &str) -> String {
        let request =
            json!({"type": "wait_log", "process_id": process, "pattern": pattern, "time_limit_ms": 120_000});
        let found: super::LogFound = self.ask(request);
        assert_eq!(found.process_id, process);
        found.line
    }

    /// Waits for the end of a process in the background.
    pub fn wait_process(&mut self, process: &str) -> super::Waited {
        let waited: super::Waited = self.ask(json!({"type": "process_wait", "process_id": process}));
        assert!(!waited.running && waited.process_id == process, "{waited:?}");
        waited
    }

    /// Sends a signal to a process.
    pub fn signal(&mut self, process: &str, signal: Value) {
        let _: Done = self.ask(json!({"type": "process_signal", "process_id": process, "signal": signal}));
    }

    /// Writes to a process and waits until it has taken that.
    pub fn feed(&mut self, process: &str, data: &str) {
        let fed: super::Fed = self.ask(json!({"type": "process_write", "process_id": process, "data": data}));
        assert_eq!(fed.size, data.len() as u64);
    }

    /// Stops the request `target`.
    pub fn cancel(&mut self, target: &Value) -> bool {
        let answer: Cancelled = self.ask(json!({"type": "cancel", "target": target}));
        assert_eq!(answer.target, *target);
        answer.cancelled
    }
}
