//! Requests about the machine as a whole.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::RequestId;

/// Asks who the program is: versions, engine, image, capabilities and limits. Served at once, also while the
/// machine boots; but a first start that makes the prepared snapshot serves nothing until it is there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hello {}

/// Asks how the machine is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Tell the sum of the guest's memory as well, for comparing machines; it takes about a second.
    #[serde(default)]
    pub memory_hash: bool,
}

/// Puts everything back to the initial state: files, and processes with all that runs in the background.
/// Requests that are under way are answered with `cancelled`. Checkpoints are kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {}

/// Keeps the machine as it is now, files and processes, under a name, in this program's memory.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// What it is called, 1 to 200 bytes; a checkpoint of that name is replaced.
    pub name: String,
}

/// Puts the machine back to a checkpoint, as often as one likes. The guest's clocks show the present and its
/// random numbers are new ones. Requests that are under way are answered with `cancelled`; processes,
/// sessions and what they had written are those of the checkpoint.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The checkpoint's name.
    pub name: String,
}

/// Forgets a checkpoint and frees its memory.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointDelete {
    /// The checkpoint's name.
    pub name: String,
}

/// Makes a second, independent machine that goes on from this one's present state. Later requests reach it
/// with `"sandbox":"<name>"`. There can be 1000 machines at a time; checkpoints are not shared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// What the new sandbox is called, 1 to 200 bytes; without it, the program chooses.
    pub name: Option<String>,
}

/// Ends a machine made by `fork`: the one named in `sandbox`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {}

/// Writes the machine as it is now to a file of the host, to go on from with `wasm-sandbox --snapshot FILE`,
/// here or on another computer, by the same version of the program with the same image.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Save {
    /// Path on the host; relative ones start at the program's working directory. An existing file is
    /// replaced, as a whole and only when the new one is complete.
    pub path: String,
}

/// Stops a request that waits or is under way: all with that id, in every sandbox. It is answered with
/// `cancelled`, and what it started is killed. Served at once.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// The request's id.
    pub target: RequestId,
}
