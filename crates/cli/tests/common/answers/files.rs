//! Answers to requests about files.

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Head, not_zero, only_true, present};

answer!(
    /// To what has nothing more to say.
    Done, success: true, {}
);

answer!(
    /// To a listing.
    Listing, success: true, {
        entries: Vec<Entry>,
        #[serde(default, deserialize_with = "only_true")]
        truncated: bool,
    }
);

answer!(
    /// To a question what there is.
    PathInfo, success: true, { entry: Entry }
);

answer!(
    /// To a question whether there is something.
    PathExists, success: true, {
        exists: bool,
        #[serde(default, deserialize_with = "present")]
        entry_type: Option<String>,
    }
);

answer!(
    /// To a new directory.
    DirectoryMade, success: true, { created: bool }
);

answer!(
    /// To what was removed.
    Removed, success: true, { removed: u64 }
);

answer!(
    /// To a copy.
    Copied, success: true, { entries: u64, size: u64 }
);

answer!(
    /// To a search.
    Found, success: true, {
        matches: Vec<Match>,
        #[serde(default, deserialize_with = "only_true")]
        truncated: bool,
    }
);

answer!(
    /// To a replacement.
    Replaced, success: true, { replacements: u64, files: Vec<FileReplacements> }
);

answer!(
    /// To a watch.
    Watching, success: true, { watch_id: String }
);

answer!(
    /// To an upload.
    Uploaded, success: true, { entries: u64, size: u64 }
);

answer!(
    /// To a download.
    Downloaded, success: true, {
        #[serde(default, deserialize_with = "present")]
        content: Option<String>,
        entries: u64,
        size: u64,
        #[serde(default, deserialize_with = "not_zero")]
        skipped: u64,
    }
);

/// What there is at a path.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub path: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub size: u64,
    pub mode: String,
    pub permissions: String,
    pub owner: String,
    pub group: String,
    pub modified_time: String,
    #[serde(default, deserialize_with = "present")]
    pub symlink_target: Option<String>,
    #[serde(default, deserialize_with = "only_true")]
    pub not_utf8: bool,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub size: u64,
    #[serde(default, deserialize_with = "present")]
    pub line_number: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    pub line: Option<String>,
}

/// What was replaced in a file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileReplacements {
    pub path: String,
    pub replacements: u64,
}

/// An event of a watch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchEvent {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Value,
    pub watch_id: String,
    pub seq: u64,
    pub event: String,
    pub path: String,
    pub directory: bool,
    #[serde(default, deserialize_with = "present")]
    pub new_path: Option<String>,
}
