//! Commands and code.

use rmcp::handler::server::tool::schema_for_output;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use wasm_sandbox::protocol::json::{self, Outcome, Shell};

use crate::mcp::arguments::{OUTPUT_BYTES, RunCode, RunCommand, TIMEOUT_MS};
use crate::mcp::call::{Called, call};
use crate::mcp::progress;
use crate::mcp::results::{CodeResult, CommandResult};
use crate::mcp::server::Server;

#[tool_router(router = running_tools, vis = "pub(in crate::mcp)")]
impl Server {
    /// Runs a command with bash, as root of a Debian 12 machine without network, and returns its output and exit
    /// code when it has ended. Files it writes and processes it leaves in the background persist from call to call.
    #[tool(
        annotations(
            title = "Run a command",
            read_only_hint = false,
            destructive_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<CommandResult>()
    )]
    async fn run_command(
        &self,
        Parameters(arguments): Parameters<RunCommand>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let limit = arguments.max_output_bytes.unwrap_or(OUTPUT_BYTES);
        let shell = Shell {
            command: arguments.command,
            cwd: arguments.cwd,
            env: arguments.env,
            stdin: arguments.stdin,
            time_limit_ms: Some(arguments.timeout_ms.unwrap_or(TIMEOUT_MS)),
            session: arguments.session,
            max_output_bytes: Some(limit),
            stream: progress::is_wanted(&context),
            ..Shell::default()
        };
        let mut answer = call(&self.machine, shell, &context).await?;
        let Outcome::ShellResult(result) = &mut answer.outcome else { return answer.unexpected() };
        let result = CommandResult::new(std::mem::take(result), limit);
        answer.reply(result.text(), &result)
    }

    /// Runs Python or bash code in an interpreter that keeps its state: variables, imports and functions are there in the
    /// next call with the same context. In Python the value of a last expression comes back, as in a notebook.
    #[tool(
        annotations(
            title = "Run code",
            read_only_hint = false,
            destructive_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<CodeResult>()
    )]
    async fn run_code(
        &self,
        Parameters(arguments): Parameters<RunCode>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let limit = arguments.max_output_bytes.unwrap_or(OUTPUT_BYTES);
        let run = json::RunCode {
            language: arguments.language.into(),
            code: arguments.code,
            context: arguments.context,
            cwd: None,
            env: Default::default(),
            time_limit_ms: Some(arguments.timeout_ms.unwrap_or(TIMEOUT_MS)),
            max_output_bytes: Some(limit),
            encoding: Default::default(),
            stream: progress::is_wanted(&context),
        };
        let mut answer = call(&self.machine, run, &context).await?;
        let Outcome::RunCodeResult(result) = &mut answer.outcome else { return answer.unexpected() };
        let result = CodeResult::new(std::mem::take(result), limit);
        answer.reply(result.text(), &result)
    }
}
