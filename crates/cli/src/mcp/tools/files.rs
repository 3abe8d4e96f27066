//! Files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::handler::server::tool::schema_for_output;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use wasm_sandbox::protocol::json::{
    self, ErrorCode, Failure, FileContent, FileMode, ListDir, Outcome, Replace,
};

use crate::mcp::arguments::{ENTRIES, EditFile, Encoding, ListFiles, OUTPUT_BYTES, ReadFile, WriteFile};
use crate::mcp::call::{Called, call};
use crate::mcp::results::{Edited, FileText, ListedFile, Listing, Written};
use crate::mcp::server::Server;
use crate::mcp::text::{lines, part_of_text};

/// Bytes that a character has at most in UTF-8.
const LONGEST_CHARACTER: u64 = 4;

#[tool_router(router = file_tools, vis = "pub(in crate::mcp)")]
impl Server {
    /// Reads a file of the machine, or a part of it: at most 64 KiB unless length says otherwise. If next_offset is in the
    /// result, there is more: read on from there.
    #[tool(
        annotations(title = "Read a file", read_only_hint = true, open_world_hint = false),
        output_schema = schema_for_output::<FileText>()
    )]
    async fn read_file(
        &self,
        Parameters(arguments): Parameters<ReadFile>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        // Whoever reads part after part as text is to get a whole character each time.
        let least = if arguments.encoding == Encoding::Text { LONGEST_CHARACTER } else { 0 };
        let request = json::ReadFile {
            path: arguments.path.clone(),
            encoding: json::Encoding::Base64,
            offset: arguments.offset,
            length: Some(arguments.length.unwrap_or(OUTPUT_BYTES).max(least)),
        };
        let answer = call(&self.machine, request, &context).await?;
        let Outcome::FileContent(content) = &answer.outcome else { return answer.unexpected() };
        let file = file_text(&arguments, content)?;
        let mut text = file.content.clone();
        if let Some(next) = file.next_offset {
            let whole = file.file_size.map(|size| format!(" of {size}")).unwrap_or_default();
            text = format!(
                "{}[bytes {} to {next}{whole}: read on with offset {next}]",
                lines(&text),
                arguments.offset
            );
        }
        answer.reply(text, &file)
    }

    /// Writes a file of the machine; it is created with its directories, or replaced, or added to with append. For large
    /// files or many bytes call it several times with append; one call takes some 40 MiB.
    #[tool(
        annotations(
            title = "Write a file",
            read_only_hint = false,
            destructive_hint = true,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<Written>()
    )]
    async fn write_file(
        &self,
        Parameters(arguments): Parameters<WriteFile>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let path = arguments.path;
        let request = json::WriteFile {
            path: path.clone(),
            content: arguments.content,
            encoding: arguments.encoding.into(),
            mode: arguments.mode.as_deref().map(mode).transpose()?,
            append: arguments.append,
            create_parents: true,
            atomic: None,
        };
        let answer = call(&self.machine, request, &context).await?;
        let Outcome::FileWritten(written) = &answer.outcome else { return answer.unexpected() };
        let size = written.size;
        answer.reply(format!("{size} bytes written to {path}"), &Written { path, size })
    }

    /// Replaces a text in a file of the machine by another, exactly as given. It fails, and changes nothing, if the text is
    /// not there, or not as often as expected_replacements says (once, if absent).
    #[tool(
        annotations(
            title = "Edit a file",
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = false
        ),
        output_schema = schema_for_output::<Edited>()
    )]
    async fn edit_file(
        &self,
        Parameters(arguments): Parameters<EditFile>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let path = arguments.path;
        let request = Replace {
            paths: vec![path.clone()],
            old: arguments.old,
            new: arguments.new,
            regex: false,
            expected_replacements: Some(arguments.expected_replacements.unwrap_or(1)),
        };
        let answer = call(&self.machine, request, &context).await?;
        let Outcome::Replaced(replaced) = &answer.outcome else { return answer.unexpected() };
        let replacements = replaced.replacements;
        let places = if replacements == 1 { "1 place".into() } else { format!("{replacements} places") };
        answer.reply(format!("{path} was changed in {places}"), &Edited { path, replacements })
    }

    /// Lists a directory of the machine, with types, sizes, permissions and times; with depth its subdirectories, too.
    #[tool(
        annotations(title = "List files", read_only_hint = true, open_world_hint = false),
        output_schema = schema_for_output::<Listing>()
    )]
    async fn list_files(
        &self,
        Parameters(arguments): Parameters<ListFiles>,
        context: RequestContext<RoleServer>,
    ) -> Called {
        let request = ListDir {
            path: arguments.path,
            depth: arguments.depth,
            max_entries: Some(arguments.max_entries.unwrap_or(ENTRIES)),
        };
        let answer = call(&self.machine, request, &context).await?;
        let Outcome::DirectoryListing(listing) = &answer.outcome else { return answer.unexpected() };
        let entries: Vec<ListedFile> = listing.entries.iter().map(listed).collect();
        let listing = Listing { entries, truncated: listing.truncated };
        let mut text: String = listing.entries.iter().map(line).collect();
        if listing.entries.is_empty() {
            text = "The directory is empty.".into();
        }
        if listing.truncated {
            text += "[there is more: raise max_entries, or list a subdirectory]";
        }
        answer.reply(text, &listing)
    }
}

fn mode(text: &str) -> Result<FileMode, Failure> {
    let wrong = || {
        let message = format!("{text:?} is no file mode: give octal digits in a string, such as \"0644\"");
        Failure::new(ErrorCode::InvalidMode, message)
    };
    FileMode::parse(text).ok_or_else(wrong)
}

/// What was asked for, from what the sandbox gave in base64.
fn file_text(asked: &ReadFile, content: &FileContent) -> Result<FileText, Failure> {
    let end = asked.offset.saturating_add(content.size);
    let ends_inside = content.file_size.is_some_and(|size| end < size);
    let (text, read_to) = match asked.encoding {
        Encoding::Base64 => (content.content.clone(), end),
        Encoding::Text => {
            let bytes = STANDARD.decode(&content.content).unwrap_or_default();
            let text = part_of_text(&bytes, asked.offset > 0, ends_inside).ok_or_else(|| {
                let message = format!("{} is not UTF-8 text: ask for \"encoding\":\"base64\"", asked.path);
                Failure::new(ErrorCode::NotUtf8, message)
            })?;
            let cut = if ends_inside { unfinished(&bytes, text) } else { 0 };
            (text.to_owned(), end - cut)
        }
    };
    Ok(FileText {
        path: asked.path.clone(),
        content: text,
        encoding: if asked.encoding == Encoding::Text { "text" } else { "base64" },
        size: read_to - asked.offset,
        file_size: content.file_size,
        // Also where somebody began inside a character and got none: never to the same place.
        next_offset: ends_inside.then_some(if read_to > asked.offset { read_to } else { end }),
    })
}

/// Bytes at the end of `bytes` that are not in `text`, which was made from them.
fn unfinished(bytes: &[u8], text: &str) -> u64 {
    let start = bytes.len().min(3);
    let skipped = (0..=start).find(|skip| bytes[*skip..].starts_with(text.as_bytes())).unwrap_or(0);
    (bytes.len() - skipped - text.len()) as u64
}

fn listed(entry: &json::Entry) -> ListedFile {
    let kind = serde_json::to_value(entry.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    ListedFile {
        path: entry.path.clone(),
        kind: kind.unwrap_or_default(),
        size: entry.size,
        permissions: entry.permissions.clone(),
        modified_time: entry.modified_time.clone(),
        symlink_target: entry.symlink_target.clone(),
    }
}

/// A line like those of `ls -l`.
fn line(file: &ListedFile) -> String {
    let target = file.symlink_target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
    format!("{} {:>9} {} {}{target}\n", file.permissions, file.size, file.modified_time, file.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], offset: u64, file_size: Option<u64>) -> (String, u64, Option<u64>) {
        let asked = ReadFile { path: "/f".into(), offset, length: None, encoding: Encoding::Text };
        let content = FileContent {
            content: STANDARD.encode(bytes),
            encoding: json::Encoding::Base64,
            size: bytes.len() as u64,
            file_size,
        };
        let file = file_text(&asked, &content).unwrap();
        (file.content, file.size, file.next_offset)
    }

    #[test]
    fn parts_of_a_file_join_without_a_character_lost() {
        let text = "aé€b".as_bytes();
        assert_eq!(read(&text[..2], 0, Some(7)), ("a".into(), 1, Some(1)));
        assert_eq!(read(&text[1..5], 1, Some(7)), ("é".into(), 2, Some(3)));
        assert_eq!(read(&text[3..], 3, Some(7)), ("€b".into(), 4, None));
        assert_eq!(read(text, 0, None), ("aé€b".into(), 7, None));
        assert_eq!(read(&text[1..2], 1, Some(7)), (String::new(), 0, Some(2)), "never to the same place");
    }
}
