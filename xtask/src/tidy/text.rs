//! What the files themselves must be like.

use super::SourceFile;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// Files longer than this do too many things.
const LONGEST: usize = 500;
/// Files that may be longer, because no person writes them.
const MAY_BE_LONG: [&str; 9] = [
    "Cargo.lock",
    "clients/typescript/package-lock.json",
    // Made from the types.
    "docs/reference.md",
    "docs/schema.json",
    // One `match` with an arm for each micro-operation.
    "engine/src/interpret.rs",
    // Python puts a class into one file, and these have a method for every request.
    "clients/python/src/wasm_sandbox/_async.py",
    "clients/python/src/wasm_sandbox/_sync.py",
    "clients/python/src/wasm_sandbox/_types.py",
    "clients/python/tests/test_sandbox.py",
];

/// Names of hosts that packages come from, taken apart so that this file is in order. Which of their
/// mirrors is used is the business of cargo, npm and apt, and of the machine they run on.
const REGISTRIES: [(&str, &str); 14] = [
    ("crates", "io"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("deb.debian", "org"),
    ("ftp.debian", "org"),
    ("security.debian", "org"),
    ("snapshot.debian", "org"),
    ("archive.debian", "org"),
    ("httpredir.debian", "org"),
    ("archive.ubuntu", "com"),
    ("proxy.golang", "org"),
];
/// How cargo writes in `Cargo.lock` that a package comes from the usual place.
const CARGO_SOURCE: (&str, &str) = ("registry+https://github.com/rust-lang/crates", "io-index");

/// Directories of one person's machine; with a path below them they are of no use to others.
const MACHINE_DIRECTORIES: [&str; 3] = ["/root/", "/work/", HOMES];
const HOMES: &str = "/home/";
/// The home directory of the guest's user.
const GUEST_HOME: &str = "/home/user/";

/// What is wrong with a file.
pub fn check(file: &SourceFile) -> Vec<String> {
    let SourceFile { path, content } = file;
    let Ok(text) = std::str::from_utf8(content) else {
        return vec![format!("{path}: is not UTF-8: no binary files here; build or fetch them")];
    };
    let mut complaints = Vec::new();
    if text.contains('\0') {
        complaints.push(format!("{path}: has a NUL byte: no binary files here; build or fetch them"));
    }
    let lines = text.lines().count();
    if lines > LONGEST && !MAY_BE_LONG.contains(&path.as_str()) {
        complaints.push(format!("{path}: has {lines} lines, more than {LONGEST}: take it apart"));
    }
    if is_root_of_crate(path) && !text.starts_with("//!") {
        complaints.push(format!("{path}: does not begin with `//!`: say what the crate is for"));
    }
    for (line, number) in text.lines().zip(1..) {
        let mut complain = |what: String| complaints.push(format!("{path}:{number}: {what}"));
        if let Some(host) = registry(line) {
            complain(format!("names {host}: leave it to the package manager where packages come from"));
        }
        if let Some(place) = machine_path(line) {
            complain(format!("names {place}, a place on one machine only"));
        }
        if line.ends_with([' ', '\t']) {
            complain("ends with a space".into());
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        complaints.push(format!("{path}: does not end with a newline"));
    }
    complaints
}

fn is_root_of_crate(path: &str) -> bool {
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs")
}

/// The registry a line names.
fn registry(line: &str) -> Option<String> {
    let line = line.replace(&format!("{}.{}", CARGO_SOURCE.0, CARGO_SOURCE.1), "");
    REGISTRIES
        .iter()
        .map(|(name, domain)| format!("{name}.{domain}"))
        .find(|host| line.contains(host.as_str()))
}

/// The path on somebody's machine that a line names.
fn machine_path(line: &str) -> Option<&str> {
    let places = MACHINE_DIRECTORIES.iter().flat_map(|directory| line.match_indices(directory));
    places
        .filter(|(start, _)| begins_at(line, *start))
        .map(|(start, directory)| (&line[start..], directory))
        .find_map(|(place, directory)| {
            let end = place
                .find(|next: char| next.is_whitespace() || "\"'`)".contains(next))
                .unwrap_or(place.len());
            let place = &place[..end];
            let below = &place[directory.len()..];
            // A home directory without a path below it is an example's, in a password file for instance.
            let is_specific = if directory == HOMES { is_below_a_name(below) } else { !below.is_empty() };
            (is_specific && !place.starts_with(GUEST_HOME)).then_some(place)
        })
}

/// Whether this is a name, a slash and more.
fn is_below_a_name(path: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    path.split_once('/').is_some_and(|(name, _)| is_name(name))
}

/// Whether a path begins at `start`, and not before: `$tree/root/dev` and `"$tree"/root/dev` are other places.
fn begins_at(line: &str, start: usize) -> bool {
    let before = &line[..start];
    match before.chars().last() {
        Some('"') => before.matches('"').count() % 2 == 1,
        Some(last) => !(last.is_alphanumeric() || "_-.}".contains(last)),
        None => true,
    }
}

/// Links between documents that lead nowhere.
pub fn check_links(files: &[SourceFile]) -> Vec<String> {
    let mut places: HashSet<PathBuf> = HashSet::new();
    for file in files {
        places.extend(Path::new(&file.path).ancestors().map(Path::to_owned));
    }
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let links = documents.flat_map(|file| {
        let text = String::from_utf8_lossy(&file.content).into_owned();
        links(&text).into_iter().map(|link| (file.path.clone(), link)).collect::<Vec<_>>()
    });
    links
        .filter(|(document, link)| !places.contains(&resolve(document, link)))
        .map(|(document, link)| format!("{document}: links to {link}, which is not there"))
        .collect()
}

/// Targets of links in Markdown that are files.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.contains(char::is_whitespace)
        })
        .map(str::to_owned)
        .collect()
}

/// Where a link leads, relative to the repository.
fn resolve(document: &str, link: &str) -> PathBuf {
    let mut place = Path::new(document).parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => drop(place.pop()),
            Component::Normal(name) => place.push(name),
            _ => {}
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: impl Into<Vec<u8>>) -> SourceFile {
        SourceFile { path: path.into(), content: content.into() }
    }

    #[track_caller]
    fn complains(path: &str, content: impl Into<Vec<u8>>, about: &str) {
        let complaints = check(&file(path, content));
        assert!(complaints.len() == 1 && complaints[0].contains(about), "{complaints:?}");
    }

    #[test]
    fn each_rule_complains() {
        complains("a.rs", "x\n".repeat(501), "501 lines");
        complains("a", [0xFF, 0xFE], "not UTF-8");
        complains("a", "x\0\n", "NUL");
        complains("crates/a/src/lib.rs", "fn main() {}\n", "//!");
        complains("a.md", format!("see https://{}.{}/x\n", "crates", "io"), "a.md:1: names crates");
        complains("a.sh", format!("cd {HOMES}ann/x\n"), "one machine only");
        complains("a.rs", format!("open(\"{}x\")\n", MACHINE_DIRECTORIES[0]), "one machine only");
        complains("a.sh", "x \n", "space");
        complains("a.sh", "x", "newline");
    }

    #[test]
    fn what_is_in_order_passes() {
        let lines = [
            format!("source = \"{}.{}\"", CARGO_SOURCE.0, CARGO_SOURCE.1),
            format!("cat {GUEST_HOME}x"),
            format!("\"$tree{}dev\"", MACHINE_DIRECTORIES[0]),
            format!("cat \"$tree\"{}dev", MACHINE_DIRECTORIES[0]),
            format!("ann:x:1000:100:Ann:{HOMES}ann:/bin/sh"),
            "HOME=/root".into(),
        ];
        for line in lines {
            assert_eq!(check(&file("a", format!("{line}\n"))), Vec::<String>::new());
        }
        assert_eq!(check(&file("Cargo.lock", "x\n".repeat(9000))), Vec::<String>::new());
    }

    #[test]
    fn links_must_lead_to_files_or_directories() {
        let text = "[a](../x/b.md#part) [c](https://example.com) [d](d.md) [e](#here) [x](../x)\n";
        let files = [file("docs/a.md", text), file("x/b.md", "\n")];
        assert_eq!(check_links(&files), ["docs/a.md: links to d.md, which is not there"]);
    }
}
