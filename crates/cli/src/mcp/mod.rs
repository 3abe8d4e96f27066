//! `wasm-sandbox mcp`: the sandbox as a server of the Model Context Protocol on standard input and output.

mod arguments;
mod call;
mod instructions;
mod machine;
mod progress;
mod results;
mod server;
mod status;
mod text;
mod tools;

use anyhow::{Context, Result};
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::io::stdio_pipes;
use wasm_sandbox::{Sandbox, SandboxConfig};

use machine::Machine;
use server::Server;

/// The longest message that is taken, in bytes; a longer one is skipped, and standard error says so.
const LONGEST_MESSAGE: usize = 64 << 20;

/// Serves until standard input ends. `with_snapshot` completes `config` on another thread, since it may prepare the
/// snapshot, which takes minutes, and hosts wait for a server's first answer only seconds; tools wait for it.
pub fn serve(
    config: SandboxConfig,
    with_snapshot: impl FnOnce(SandboxConfig) -> Result<SandboxConfig> + Send + 'static,
) -> Result<()> {
    let (arch, memory_bytes) = (config.image.arch, config.memory_limit_bytes);
    let machine = Machine::start(move || Ok(Sandbox::start(with_snapshot(config)?)?))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the host gives no event loop")?;
    let server = Server::new(machine.clone(), arch, memory_bytes);
    let served = runtime.block_on(async {
        let (input, output) = stdio_pipes();
        let transport = AsyncRwTransport::new_server(input, output).with_max_line_length(LONGEST_MESSAGE);
        match server.serve(transport).await {
            Ok(service) => service.waiting().await.map(drop).context("the server's task ended early"),
            // Nobody wanted anything.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(error).context("the client did not begin as the protocol asks"),
        }
    });
    // With it go the tasks, and what they hold of the machine. It does not wait for a read that is under way.
    runtime.shutdown_background();
    machine.stop();
    served
}
