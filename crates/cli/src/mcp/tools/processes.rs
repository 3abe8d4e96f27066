//! Processes in the background.

use rmcp::handler::server::tool::schema_for_output;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use wasm_sandbox::protocol::json::{
    self, Outcome, ProcessChange, ProcessCloseStdin, ProcessRead, ProcessSignal, ProcessWait, ProcessWrite,
    Shell, Signal,
};

use crate::mcp::arguments::{OUTPUT_BYTES, ReadProcess, StartProcess, StopProcess, WriteProcess};
use crate::mcp::call::{Called, call};
use crate::mcp::results::{Finished, ProcessOutput, StartedProcess, StoppedProcess, outputs};
use crate::mcp::server::Server;
use crate::mcp::text::lossy;

/// How long a process gets to end by itself, in milliseconds.
const GRACE_MS: u64 = 2000;

#[tool_router(router = process_tools, vis = "pub(in crate::mcp)")]
impl Server {
    /// Starts a command in the background, such as a server or a long computation, and returns at once. It runs without a
    /// time limit until it ends, or stop_process, restore or reset ends it. read_process gives its output, of which the
    /// last MiB is kept.
    #[tool(
        annotations(
            title = "Start a process",
            read_only_hint = false,
            destructive_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<StartedProcess>()
    )]
    async fn start_process(
        &self,
        Parameters(arguments): Parameters<StartProcess>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let shell = Shell {
            command: arguments.command,
            cwd: arguments.cwd,
            env: arguments.env,
            open_stdin: arguments.open_stdin,
            background: true,
            ..Shell::default()
        };
        let answer = call(&self.machine, shell, &context).await?;
        let Outcome::ProcessStarted(started) = &answer.outcome else { return answer.unexpected() };
        let started = StartedProcess { process_id: started.process_id.clone(), pid: started.pid };
        answer.reply(format!("It runs as process {}.", started.process_id), &started)
    }

    /// Returns what a process of start_process has written since after_seq, and whether and how it has ended. With wait_ms it
    /// waits for something new.
    #[tool(
        annotations(title = "Read a process's output", read_only_hint = true, open_world_hint = false),
        output_schema = schema_for_output::<ProcessOutput>()
    )]
    async fn read_process(
        &self,
        Parameters(arguments): Parameters<ReadProcess>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let request = ProcessRead {
            process_id: arguments.process_id,
            after_seq: arguments.after_seq,
            max_bytes: Some(arguments.max_bytes.unwrap_or(OUTPUT_BYTES)),
            wait_ms: arguments.wait_ms,
        };
        let answer = call(&self.machine, request, &context).await?;
        let Outcome::ProcessOutput(output) = &answer.outcome else { return answer.unexpected() };
        let output = collect(output);
        let mut text = outputs(&output.stdout, &output.stderr);
        if output.gap {
            text = format!("[output before this is lost]\n{text}");
        }
        text += &match (&output.signal, output.exit_code) {
            (Some(signal), _) => format!("[it was ended by {signal}]"),
            (None, Some(code)) => format!("[it has ended with exit code {code}]"),
            (None, None) if output.more => format!("[go on with after_seq {}]", output.last_seq),
            (None, None) => "[it has ended, and there is nothing more]".into(),
        };
        answer.reply(text, &output)
    }

    /// Writes to the standard input of a process that was started with open_stdin, and ends it with close.
    #[tool(
        annotations(
            title = "Write to a process",
            read_only_hint = false,
            destructive_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<Finished>()
    )]
    async fn write_process(
        &self,
        Parameters(arguments): Parameters<WriteProcess>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let write = ProcessWrite {
            process_id: arguments.process_id.clone(),
            data: arguments.data,
            encoding: Default::default(),
        };
        let mut answer = call(&self.machine, write, &context).await?;
        if arguments.close {
            let close = ProcessCloseStdin { process_id: arguments.process_id };
            answer = call(&self.machine, close, &context).await?;
        }
        answer.reply("The process has got it.", &Finished { done: true })
    }

    /// Ends a process of start_process with all it has started: it gets a signal, and is killed if it has not ended after
    /// grace_ms.
    #[tool(
        annotations(
            title = "Stop a process",
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<StoppedProcess>()
    )]
    async fn stop_process(
        &self,
        Parameters(arguments): Parameters<StopProcess>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let process_id = arguments.process_id;
        let grace_ms = arguments.grace_ms.unwrap_or(GRACE_MS).max(1);
        let first = arguments.signal.unwrap_or_else(|| "SIGTERM".into());
        for (signal, wait_ms) in [(first, Some(grace_ms)), ("SIGKILL".into(), None)] {
            let signal = ProcessSignal {
                process_id: process_id.clone(),
                signal: Signal::Name(signal),
                leader_only: false,
            };
            call(&self.machine, signal, &context).await?;
            let wait = ProcessWait { process_id: process_id.clone(), time_limit_ms: wait_ms };
            let answer = call(&self.machine, wait, &context).await?;
            let Outcome::ProcessState(state) = &answer.outcome else { return answer.unexpected() };
            let Some(result) = &state.result else { continue };
            let stopped =
                StoppedProcess { process_id, exit_code: result.exit_code, signal: result.signal.clone() };
            let how = match &stopped.signal {
                Some(signal) => format!("by {signal}"),
                None => format!("with exit code {}", stopped.exit_code),
            };
            return answer.reply(format!("Process {} has ended {how}.", stopped.process_id), &stopped);
        }
        // The last wait has no limit.
        call(&self.machine, ProcessWait { process_id, time_limit_ms: None }, &context).await?.unexpected()
    }
}

/// The pieces of each stream joined.
fn collect(output: &json::ProcessOutput) -> ProcessOutput {
    let mut collected = ProcessOutput {
        last_seq: output.last_seq,
        more: output.more,
        gap: output.gap,
        ..ProcessOutput::default()
    };
    for event in &output.events {
        match &event.change {
            ProcessChange::Started { .. } | ProcessChange::Lost => {}
            ProcessChange::Stdout(piece) => collected.stdout += &lossy(&piece.data, piece.encoding).0,
            ProcessChange::Stderr(piece) => collected.stderr += &lossy(&piece.data, piece.encoding).0,
            ProcessChange::Exited { exit_code, signal, .. } => {
                (collected.exit_code, collected.signal) = (Some(*exit_code), signal.clone());
            }
        }
    }
    collected
}
