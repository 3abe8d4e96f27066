//! The server: who it is, and which tools it has.

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, tool_handler};

use wasm_sandbox::Arch;

use super::instructions::instructions;
use super::machine::Machine;

/// The server, with a machine behind its tools.
pub struct Server {
    pub(super) machine: Machine,
    arch: Arch,
    memory_bytes: u64,
    tools: ToolRouter<Self>,
}

impl Server {
    /// A server of `machine`, which has that much memory.
    pub fn new(machine: Machine, arch: Arch, memory_bytes: u64) -> Self {
        Self { machine, arch, memory_bytes, tools: Self::all_tools() }
    }

    fn all_tools() -> ToolRouter<Self> {
        Self::running_tools() + Self::file_tools() + Self::machine_tools() + Self::process_tools()
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let who = Implementation::new("wasm-sandbox", env!("CARGO_PKG_VERSION"))
            .with_title("wasm-sandbox")
            .with_description("A real Linux in a sandbox made of WebAssembly");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(who)
            .with_instructions(instructions(self.arch, self.memory_bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_tool_says_all_that_a_model_and_a_host_need() {
        let tools = Server::all_tools().list_all();
        assert_eq!(tools.len(), 14);
        for tool in tools {
            let name = &tool.name;
            assert!(tool.description.as_ref().is_some_and(|text| text.len() > 40), "{name}: description");
            let hints = tool.annotations.clone().unwrap_or_default();
            assert!(hints.title.is_some() && hints.open_world_hint == Some(false), "{name}: hints");
            let effect = (hints.read_only_hint, hints.destructive_hint);
            assert!(matches!(effect, (Some(true), None) | (Some(false), Some(_))), "{name}: {effect:?}");
            let output = tool.output_schema.as_ref().and_then(|schema| schema.get("type"));
            assert_eq!(output, Some(&Value::from("object")), "{name}: output schema");
            let input = Value::Object((*tool.input_schema).clone());
            let fields = input["properties"].as_object().cloned().unwrap_or_default();
            for (field, schema) in &fields {
                assert!(schema["description"].is_string(), "{name}.{field}: description");
            }
            assert!(!input.to_string().contains("$ref"), "{name}: some hosts do not follow references");
        }
    }

    #[test]
    fn what_changes_nothing_is_marked() {
        let tools = Server::all_tools().list_all();
        let read_only: BTreeSet<String> = tools
            .into_iter()
            .filter(|tool| tool.annotations.as_ref().is_some_and(|hints| hints.read_only_hint == Some(true)))
            .map(|tool| tool.name.into_owned())
            .collect();
        assert_eq!(read_only, ["list_files", "read_file", "read_process", "status"].map(String::from).into());
    }
}
