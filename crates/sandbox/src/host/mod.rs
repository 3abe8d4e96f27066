//! Files of the host: only below directories that were allowed, whatever paths and symbolic links say.

mod pack;
mod unpack;

pub(crate) use pack::{HostReader, Piece};
pub(crate) use unpack::{HostWriter, Item};

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use wasm_sandbox_protocol::json::{ErrorCode, Failure};

/// A place below an allowed directory.
#[derive(Debug)]
pub(crate) struct Place {
    /// The allowed directory.
    root: Dir,
    /// The way from there.
    below: PathBuf,
    /// As it was asked for.
    shown: String,
}

impl Place {
    /// Finds `wanted` below one of `allowed`; `option` is what would allow it.
    ///
    /// # Errors
    /// [`ErrorCode::HostPathNotAllowed`]; [`ErrorCode::HostIo`] if an allowed directory cannot be opened.
    pub(crate) fn find(wanted: &str, allowed: &[PathBuf], option: &str) -> Result<Self, Failure> {
        let not_allowed = || {
            let message = format!(
                "{wanted} is not at or below a directory that was allowed: start with {option} DIRECTORY"
            );
            Failure::new(ErrorCode::HostPathNotAllowed, message)
        };
        let absolute = std::path::absolute(wanted).map_err(|_| not_allowed())?;
        let mut candidates = Vec::new();
        for root in allowed {
            let spellings = [std::path::absolute(root).ok(), std::fs::canonicalize(root).ok()];
            for spelling in spellings.into_iter().flatten() {
                if let Ok(below) = absolute.strip_prefix(&spelling) {
                    candidates.push((root, below.to_owned()));
                }
            }
        }
        // The innermost is the one with the shortest way.
        let best = candidates.into_iter().min_by_key(|(_, below)| below.components().count());
        let (root, below) = best.ok_or_else(not_allowed)?;
        let opened = Dir::open_ambient_dir(root, ambient_authority())
            .map_err(|error| host_io(&root.display().to_string(), &error))?;
        let below = if below.as_os_str().is_empty() { PathBuf::from(".") } else { below };
        Ok(Self { root: opened, below, shown: wanted.to_owned() })
    }

    /// A failure about this place.
    fn failure(&self, error: &io::Error) -> Failure {
        failure(Path::new(&self.shown), error)
    }
}

/// A failure about a path. One that leads out of the allowed directory is refused by `cap-std`, and not by the system.
fn failure(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
        let message = format!("{} leads out of the directory that was allowed", path.display());
        return Failure::new(ErrorCode::HostPathNotAllowed, message);
    }
    let code = match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::NotFound,
        _ => ErrorCode::HostIo,
    };
    Failure::new(code, format!("on the host: {}: {error}", path.display()))
}

fn host_io(path: &str, error: &io::Error) -> Failure {
    Failure::new(ErrorCode::HostIo, format!("on the host: {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(wanted: &str, allowed: &[&Path]) -> Result<PathBuf, ErrorCode> {
        let allowed: Vec<PathBuf> = allowed.iter().map(|path| path.to_path_buf()).collect();
        Place::find(wanted, &allowed, "--allow-read")
            .map(|place| place.below)
            .map_err(|failure| failure.error_code)
    }

    #[test]
    fn only_what_is_at_or_below_an_allowed_directory_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        let shown = root.to_str().expect("text");
        assert_eq!(code(shown, &[root]), Ok(".".into()));
        assert_eq!(code(&format!("{shown}/a/b/"), &[root]), Ok("a/b".into()));
        assert_eq!(code(&format!("{shown}x"), &[root]), Err(ErrorCode::HostPathNotAllowed));
        assert_eq!(code("/etc", &[root]), Err(ErrorCode::HostPathNotAllowed));
        assert_eq!(code(shown, &[]), Err(ErrorCode::HostPathNotAllowed));
        let missing = root.join("missing");
        assert_eq!(code(missing.to_str().expect("text"), &[&missing]), Err(ErrorCode::HostIo));
    }
}
