//! `checkpoint` and `save`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::time;
use wasm_sandbox_machine::{MachineSnapshot, SnapshotError, SnapshotIdentity};
use wasm_sandbox_protocol::json::{
    Checkpoint, CheckpointInfo, Checkpointed, ErrorCode, Failure, Outcome, Save, Saved,
};

/// Carries `checkpoint` out, for which the state was `taken`.
pub(crate) fn checkpoint(
    taken: Result<MachineSnapshot, Failure>,
    started: Instant,
    checkpoints: &mut BTreeMap<String, MachineSnapshot>,
    request: Checkpoint,
) -> Outcome {
    match taken {
        Ok(snapshot) => {
            checkpoints.insert(request.name.clone(), snapshot);
            let duration_ms = time::since(started).as_millis() as u64;
            Checkpointed { name: request.name, duration_ms }.into()
        }
        Err(failure) => Outcome::Failure(failure),
    }
}

/// Why a checkpoint cannot be used.
pub(crate) fn unknown_checkpoint(name: &str) -> Failure {
    let message = format!("there is no checkpoint {name:?}: make it with `checkpoint` first");
    Failure::new(ErrorCode::UnknownCheckpoint, message)
}

/// The checkpoints there are.
pub(crate) fn list(checkpoints: &BTreeMap<String, MachineSnapshot>) -> Vec<CheckpointInfo> {
    checkpoints
        .iter()
        .map(|(name, snapshot)| CheckpointInfo { name: name.clone(), size: snapshot.stored_bytes() })
        .collect()
}

/// Carries `save` out, for which the state was `taken`.
pub(crate) fn save(
    taken: Result<MachineSnapshot, Failure>,
    started: Instant,
    identity: SnapshotIdentity,
    request: Save,
) -> Outcome {
    let saved = taken.and_then(|snapshot| {
        write_file(&snapshot, identity, Path::new(&request.path)).map_err(|error| {
            Failure::new(ErrorCode::HostIo, format!("{} cannot be written: {error}", request.path))
        })
    });
    match saved {
        Ok(size) => {
            let duration_ms = time::since(started).as_millis() as u64;
            Saved { path: request.path, size, duration_ms }.into()
        }
        Err(failure) => Outcome::Failure(failure),
    }
}

/// Writes `snapshot` to `path` as a whole or not at all; returns its size in bytes.
pub(crate) fn write_file(
    snapshot: &MachineSnapshot,
    identity: SnapshotIdentity,
    path: &Path,
) -> Result<u64, SnapshotError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".wasm-sandbox-").tempfile_in(directory)?;
    snapshot.write(file.as_file_mut(), identity)?;
    file.as_file().sync_all()?;
    let size = file.as_file().metadata()?.len();
    file.persist(path).map_err(|error| SnapshotError::Io(error.error))?;
    Ok(size)
}
