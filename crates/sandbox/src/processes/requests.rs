//! Requests that reach into processes.

use std::time::{Duration, Instant};

use wasm_sandbox_protocol::agent::{HostToAgent, PtySize};
use wasm_sandbox_protocol::json::{
    DEFAULT_TIME_LIMIT_MS, Done, ErrorCode, Failure, Outcome, ProcessCloseStdin, ProcessRead, ProcessResize,
    ProcessSignal, ProcessWait, ProcessWrite, Processes as ProcessesAnswer, WaitLog, signal_number,
};

use super::waiters::{Goal, LogSearch, Waiter};
use super::{Context, Process, Processes};
use crate::client::Ticket;
use crate::content::decode;
use crate::time;

impl Processes {
    pub(crate) fn list(&self) -> Outcome {
        let client_processes = self.table.values().filter(|process| process.record.session.is_none());
        ProcessesAnswer { processes: client_processes.map(|process| process.record.info()).collect() }.into()
    }

    pub(crate) fn wait(&mut self, request: &ProcessWait, ticket: Ticket, context: &mut Context) {
        let deadline = request.time_limit_ms.map(deadline_in);
        self.wait_for(&request.process_id, Waiter { ticket, deadline, goal: Goal::Exit }, context);
    }

    pub(crate) fn read(&mut self, request: &ProcessRead, ticket: Ticket, context: &mut Context) {
        let max_bytes = request.max_bytes.unwrap_or(1 << 20).min(64 << 20) as usize;
        let goal = Goal::Events { after_seq: request.after_seq, max_bytes };
        let deadline = Some(deadline_in(request.wait_ms));
        self.wait_for(&request.process_id, Waiter { ticket, deadline, goal }, context);
    }

    pub(crate) fn wait_log(&mut self, request: &WaitLog, ticket: Ticket, context: &mut Context) {
        let mut search = match LogSearch::new(&request.pattern) {
            Ok(search) => Box::new(search),
            Err(failure) => return context.answers.push((ticket, failure.into())),
        };
        if let Ok(process) = self.find(&request.process_id) {
            search.look_back(&process.record);
        }
        let deadline = Some(deadline_in(request.time_limit_ms.unwrap_or(DEFAULT_TIME_LIMIT_MS)));
        let waiter = Waiter { ticket, deadline, goal: Goal::Line { search } };
        self.wait_for(&request.process_id, waiter, context);
    }

    fn wait_for(&mut self, id: &str, waiter: Waiter, context: &mut Context) {
        match self.find(id) {
            Ok(process) => {
                process.waiters.push(waiter);
                process.poll(time::now(), context.answers);
            }
            Err(failure) => context.answers.push((waiter.ticket, failure.into())),
        }
    }

    pub(crate) fn write_stdin(&mut self, request: ProcessWrite, ticket: Ticket, context: &mut Context) {
        let written = decode("data", request.data, request.encoding).and_then(|data| {
            let process = self.find_running(&request.process_id)?;
            let until = process.record.stdin.give(&data).ok_or_else(|| stdin_closed(&request.process_id))?;
            process.record.stdin.send(process.record.op(), context.channel);
            let goal = Goal::Written { until, size: data.len() as u64 };
            process.waiters.push(Waiter { ticket: ticket.clone(), deadline: None, goal });
            process.poll(time::now(), context.answers);
            Ok(())
        });
        if let Err(failure) = written {
            context.answers.push((ticket, failure.into()));
        }
    }

    pub(crate) fn close_stdin(
        &mut self,
        request: &ProcessCloseStdin,
        context: &mut Context,
    ) -> Result<Outcome, Failure> {
        let process = self.find_running(&request.process_id)?;
        if !process.record.stdin.close() {
            return Err(stdin_closed(&request.process_id));
        }
        process.record.stdin.send(process.record.op(), context.channel);
        Ok(Done {}.into())
    }

    pub(crate) fn signal(
        &mut self,
        request: &ProcessSignal,
        context: &mut Context,
    ) -> Result<Outcome, Failure> {
        let op = self.find_running(&request.process_id)?.record.op();
        // The number was looked up when the request was checked, too.
        let signal = signal_number(&request.signal).unwrap_or(0);
        context.channel.send(&HostToAgent::Signal { op, signal, whole_group: !request.leader_only });
        Ok(Done {}.into())
    }

    pub(crate) fn resize(
        &mut self,
        request: &ProcessResize,
        context: &mut Context,
    ) -> Result<Outcome, Failure> {
        let op = self.find_running(&request.process_id)?.record.op();
        let size = PtySize { cols: request.cols, rows: request.rows };
        context.channel.send(&HostToAgent::Resize { op, size });
        Ok(Done {}.into())
    }

    fn find(&mut self, id: &str) -> Result<&mut Process, Failure> {
        let number = id.strip_prefix('p').and_then(|digits| digits.parse::<u64>().ok());
        number
            .and_then(|number| self.table.get_mut(&number))
            .filter(|process| process.record.session.is_none() && process.record.id() == id)
            .ok_or_else(|| {
                let message = format!("there is no process {id:?}: `process_list` shows those there are");
                Failure::new(ErrorCode::UnknownProcess, message)
            })
    }

    fn find_running(&mut self, id: &str) -> Result<&mut Process, Failure> {
        let process = self.find(id)?;
        if process.record.ended.is_some() {
            return Err(Failure::new(ErrorCode::UnknownProcess, format!("{id} has ended")));
        }
        Ok(process)
    }
}

fn stdin_closed(id: &str) -> Failure {
    let message =
        format!("standard input of {id} is not open: start the process with \"open_stdin\":true or `pty`");
    Failure::new(ErrorCode::StdinClosed, message)
}

fn deadline_in(milliseconds: u64) -> Instant {
    time::now() + Duration::from_millis(milliseconds)
}
