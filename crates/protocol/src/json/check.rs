//! What a request must fulfil beyond the types of its fields.

use super::parse::invalid_request;
use super::{
    ErrorCode, MAXIMUM_OUTPUT_BYTES, MAXIMUM_TIME_LIMIT_MS, ProcessOptions, PtySize, Request, RequestError,
    signal_number,
};

type Checked = Result<(), RequestError>;

impl Request {
    /// Whether it fulfils what the types of its fields do not say, as every request that is read from JSON does: paths are
    /// absolute, numbers in range, names short enough.
    ///
    /// # Errors
    /// What is wrong, and what to give instead.
    pub fn check(&self) -> Result<(), RequestError> {
        check(self)
    }
}

pub(super) fn check(request: &Request) -> Checked {
    match request {
        Request::Shell(shell) => {
            no_nul("command", &shell.command)?;
            let options = shell.options();
            if let Some(session) = &shell.session {
                name("session", session)?;
                if options.background
                    || options.pty.is_some()
                    || options.open_stdin
                    || options.cpu_time_limit_ms.is_some()
                    || options.max_instructions.is_some()
                {
                    return Err(invalid_request(
                        "`background`, `pty`, `open_stdin`, `cpu_time_limit_ms` and `max_instructions` do not go together \
                         with `session`",
                    ));
                }
            }
            process_options(&options)
        }
        Request::Exec(exec) => {
            if exec.argv.first().is_none_or(String::is_empty) {
                return Err(invalid_request("`argv` must name a program"));
            }
            exec.argv.iter().try_for_each(|argument| no_nul("argv", argument))?;
            process_options(&exec.options())
        }
        Request::RunCode(run) => {
            run.context.as_deref().map_or(Ok(()), |context| name("context", context))?;
            no_nul("code", &run.code)?;
            environment(&run.env)?;
            time_limit(run.time_limit_ms)?;
            output_limit(run.max_output_bytes)?;
            run.cwd.as_deref().map_or(Ok(()), |cwd| path("cwd", cwd))
        }
        Request::ProcessWait(wait) => time_limit(wait.time_limit_ms),
        Request::ProcessRead(read) => milliseconds("wait_ms", read.wait_ms, 0),
        Request::ProcessSignal(request) if signal_number(&request.signal).is_none() => {
            Err(invalid_request(format!(
                "`signal`: there is no signal {:?}: give a name such as \"SIGTERM\" or a number from 1 to 31",
                request.signal
            )))
        }
        Request::ProcessResize(resize) => terminal(PtySize { cols: resize.cols, rows: resize.rows }),
        Request::WaitPort(wait) if wait.port == 0 => Err(invalid_request("`port` must be from 1 to 65535")),
        Request::WaitPort(wait) => time_limit(wait.time_limit_ms),
        Request::WaitLog(wait) => time_limit(wait.time_limit_ms),
        Request::ReadFile(read) => path("path", &read.path),
        Request::WriteFile(write) => {
            if write.append && write.atomic == Some(true) {
                return Err(invalid_request("`append` and `atomic` do not go together"));
            }
            path("path", &write.path)
        }
        Request::ListDir(list) => {
            if list.depth == Some(0) {
                return Err(invalid_request("`depth` must be at least 1"));
            }
            at_most_entries("max_entries", list.max_entries)?;
            path("path", &list.path)
        }
        Request::Stat(stat) => path("path", &stat.path),
        Request::Exists(exists) => path("path", &exists.path),
        Request::Mkdir(mkdir) => path("path", &mkdir.path),
        Request::Remove(remove) => path("path", &remove.path),
        Request::Rename(rename) => path("from", &rename.from).and_then(|()| path("to", &rename.to)),
        Request::Copy(copy) => path("from", &copy.from).and_then(|()| path("to", &copy.to)),
        Request::Symlink(link) => {
            path("path", &link.path)?;
            if link.target.is_empty() {
                return Err(RequestError::new(ErrorCode::InvalidPath, "`target` is empty"));
            }
            no_nul("target", &link.target)
        }
        Request::Chmod(chmod) => path("path", &chmod.path),
        Request::Find(find) => {
            at_most_entries("max_results", find.max_results)?;
            find.name.as_deref().map_or(Ok(()), |pattern| no_nul("name", pattern))?;
            path("path", &find.path).and_then(|()| time_limit(find.time_limit_ms))
        }
        Request::Replace(replace) => {
            if replace.paths.is_empty() {
                return Err(invalid_request("`paths` must name a file"));
            }
            if replace.old.is_empty() {
                return Err(invalid_request("`old` must not be empty"));
            }
            replace.paths.iter().try_for_each(|file| path("paths", file))
        }
        Request::Watch(watch) => path("path", &watch.path),
        Request::Upload(upload) => {
            if upload.content.is_some() == upload.host_path.is_some() {
                return Err(invalid_request(
                    "give either `content`, a tar archive in base64, or `host_path`",
                ));
            }
            path("path", &upload.path)?;
            time_limit(upload.time_limit_ms)?;
            upload.host_path.as_deref().map_or(Ok(()), |path| host_path("host_path", path))
        }
        Request::Download(download) => {
            path("path", &download.path)?;
            time_limit(download.time_limit_ms)?;
            download.host_path.as_deref().map_or(Ok(()), |path| host_path("host_path", path))
        }
        Request::Checkpoint(checkpoint) => name("name", &checkpoint.name),
        Request::Restore(restore) => name("name", &restore.name),
        Request::CheckpointDelete(delete) => name("name", &delete.name),
        Request::Fork(fork) => fork.name.as_deref().map_or(Ok(()), |fork| name("name", fork)),
        Request::Save(save) => host_path("path", &save.path),
        Request::Hello(_)
        | Request::Status(_)
        | Request::ProcessList(_)
        | Request::ProcessWrite(_)
        | Request::ProcessCloseStdin(_)
        | Request::ProcessSignal(_)
        | Request::SessionList(_)
        | Request::SessionClose(_)
        | Request::Cancel(_)
        | Request::Unwatch(_)
        | Request::Reset(_)
        | Request::Close(_) => Ok(()),
    }
}

fn process_options(options: &ProcessOptions) -> Checked {
    time_limit(options.time_limit_ms)?;
    options.cpu_time_limit_ms.map_or(Ok(()), |limit| milliseconds("cpu_time_limit_ms", limit, 1))?;
    if options.max_instructions == Some(0) {
        return Err(invalid_request("`max_instructions` must be at least 1"));
    }
    output_limit(options.max_output_bytes)?;
    environment(&options.env)?;
    if let Some(user) = &options.user {
        name("user", user)?;
        no_nul("user", user)?;
    }
    options.pty.map_or(Ok(()), terminal)?;
    options.cwd.as_deref().map_or(Ok(()), |cwd| path("cwd", cwd))
}

fn time_limit(limit: Option<u64>) -> Checked {
    limit.map_or(Ok(()), |limit| milliseconds("time_limit_ms", limit, 1))
}

fn milliseconds(field: &str, value: u64, least: u64) -> Checked {
    if (least..=MAXIMUM_TIME_LIMIT_MS).contains(&value) {
        return Ok(());
    }
    Err(invalid_request(format!(
        "`{field}` must be from {least} to {MAXIMUM_TIME_LIMIT_MS} (a day), not {value}"
    )))
}

fn output_limit(limit: Option<u64>) -> Checked {
    match limit {
        Some(limit) if limit > MAXIMUM_OUTPUT_BYTES => Err(invalid_request(format!(
            "`max_output_bytes` must be at most {MAXIMUM_OUTPUT_BYTES}, not {limit}"
        ))),
        _ => Ok(()),
    }
}

/// The most entries or matches of one answer.
const MOST_ENTRIES: u32 = 100_000;

fn at_most_entries(field: &str, limit: Option<u32>) -> Checked {
    match limit {
        Some(limit) if !(1..=MOST_ENTRIES).contains(&limit) => {
            Err(invalid_request(format!("`{field}` must be from 1 to {MOST_ENTRIES}, not {limit}")))
        }
        _ => Ok(()),
    }
}

fn terminal(size: PtySize) -> Checked {
    if size.cols > 0 && size.rows > 0 {
        return Ok(());
    }
    Err(invalid_request("`pty`: a terminal has at least one column (`cols`) and one row (`rows`)"))
}

fn environment(variables: &std::collections::BTreeMap<String, String>) -> Checked {
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(invalid_request(format!(
                "`env` has the unusable entry {name:?}: names must not be empty nor contain '=', and neither names \
                 nor values may contain NUL"
            )));
        }
    }
    Ok(())
}

fn no_nul(field: &str, text: &str) -> Checked {
    if text.contains('\0') {
        return Err(invalid_request(format!("`{field}` must not contain the character NUL")));
    }
    Ok(())
}

/// Names of checkpoints, sandboxes and sessions are kept in memory and repeated in messages.
const LONGEST_NAME: usize = 200;

fn name(field: &str, name: &str) -> Checked {
    if (1..=LONGEST_NAME).contains(&name.len()) {
        return Ok(());
    }
    Err(invalid_request(format!("`{field}` must have 1 to {LONGEST_NAME} bytes, not {}", name.len())))
}

fn host_path(field: &str, path: &str) -> Checked {
    if path.is_empty() || path.contains('\0') {
        return Err(RequestError::new(
            ErrorCode::InvalidPath,
            format!("`{field}` must be a path on the host"),
        ));
    }
    Ok(())
}

/// Linux's PATH_MAX, with the NUL at the end.
const LONGEST_PATH: usize = 4096;

fn path(field: &str, path: &str) -> Checked {
    let problem = if path.is_empty() {
        "is empty: give an absolute path".into()
    } else if path.contains('\0') {
        "must not contain the character NUL".into()
    } else if !path.starts_with('/') {
        format!("{path:?} is not absolute: start it with \"/\"")
    } else if path.len() >= LONGEST_PATH {
        format!("has {} bytes: Linux takes at most {}", path.len(), LONGEST_PATH - 1)
    } else {
        return Ok(());
    };
    Err(RequestError::new(ErrorCode::InvalidPath, format!("`{field}` {problem}")))
}
