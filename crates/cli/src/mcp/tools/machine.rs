//! The machine as a whole.

use rmcp::handler::server::tool::schema_for_output;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use wasm_sandbox::protocol::json::{self, Outcome, ProcessList, Reset, Restore, SessionList, Status};

use crate::mcp::arguments::Checkpoint;
use crate::mcp::call::{Called, call};
use crate::mcp::results::{AtCheckpoint, Finished};
use crate::mcp::server::Server;
use crate::mcp::status::MachineStatus;

#[tool_router(router = machine_tools, vis = "pub(in crate::mcp)")]
impl Server {
    /// Keeps the whole machine as it is now, with files, processes and interpreters, under a name; restore goes back to it.
    /// It takes milliseconds. A checkpoint of that name is replaced. Checkpoints are gone when the server ends.
    #[tool(
        annotations(
            title = "Make a checkpoint",
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<AtCheckpoint>()
    )]
    async fn checkpoint(
        &self,
        Parameters(Checkpoint { name }): Parameters<Checkpoint>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let answer = call(&self.machine, json::Checkpoint { name: name.clone() }, &context).await?;
        answer.reply(format!("The machine's state is kept as {name:?}."), &AtCheckpoint { name })
    }

    /// Puts the whole machine back to a checkpoint, as often as you like: what was done since is undone, calls under way end
    /// as cancelled. The checkpoint stays.
    #[tool(
        annotations(
            title = "Go back to a checkpoint",
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<AtCheckpoint>()
    )]
    async fn restore(
        &self,
        Parameters(Checkpoint { name }): Parameters<Checkpoint>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let answer = call(&self.machine, Restore { name: name.clone() }, &context).await?;
        answer.reply(format!("The machine is as it was at {name:?}."), &AtCheckpoint { name })
    }

    /// Puts the whole machine back to its first state, in milliseconds: all files written, processes, sessions and
    /// interpreters are gone. Checkpoints stay.
    #[tool(
        annotations(
            title = "Reset the machine",
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<Finished>()
    )]
    async fn reset(&self, context: RequestContext<RoleServer>) -> Called {
        let answer = call(&self.machine, Reset {}, &context).await?;
        answer.reply("The machine is in its first state.", &Finished { done: true })
    }

    /// Tells how the machine is: memory and disk in use, limits, checkpoints, sessions, and the processes that were started
    /// with start_process or are at work.
    #[tool(
        annotations(title = "Ask how the machine is", read_only_hint = true, open_world_hint = false),
        output_schema = schema_for_output::<MachineStatus>()
    )]
    async fn status(&self, context: RequestContext<RoleServer>) -> Called {
        let processes = call(&self.machine, ProcessList {}, &context).await?;
        let Outcome::Processes(processes) = processes.outcome else { return processes.unexpected() };
        let sessions = call(&self.machine, SessionList {}, &context).await?;
        let Outcome::Sessions(sessions) = sessions.outcome else { return sessions.unexpected() };
        let answer = call(&self.machine, Status::default(), &context).await?;
        let Outcome::Status(report) = &answer.outcome else { return answer.unexpected() };
        let status = MachineStatus::new(report, processes.processes, sessions.sessions);
        answer.reply(status.text(), &status)
    }
}
