//! The repository checks itself: what no compiler looks at.

mod features;
mod text;

use crate::recipe;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::ErrorKind;
use std::process::Command;

/// A file of the repository, tracked or about to be.
struct SourceFile {
    /// Its path, relative to the repository.
    path: String,
    /// What is in it.
    content: Vec<u8>,
}

/// Checks everything, names all that is wrong, and fails if anything is.
pub fn check() -> Result<()> {
    let files = files()?;
    let mut complaints: Vec<String> = files.iter().flat_map(text::check).collect();
    complaints.extend(text::check_links(&files));
    complaints.extend(features::check()?);
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    ensure!(complaints.is_empty(), "{} things are not tidy", complaints.len());
    eprintln!("tidy: {} files are in order", files.len());
    Ok(())
}

/// All files that git tracks, or would with `git add`.
fn files() -> Result<Vec<SourceFile>> {
    let root = recipe::repository();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .context("running git")?;
    if !listed.status.success() {
        bail!("git lists no files ({}): {}", listed.status, String::from_utf8_lossy(&listed.stderr));
    }
    let mut files = Vec::new();
    for path in String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?.split_terminator('\0')
    {
        match fs::read(root.join(path)) {
            Ok(content) => files.push(SourceFile { path: path.to_owned(), content }),
            // Removed, and git was not told yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {path}")),
        }
    }
    Ok(files)
}
