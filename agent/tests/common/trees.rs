//! A tree with everything in it that trees have.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::Agent;

/// `a/one`, `a/b/two` (with a hole), a link, a hard link, a named pipe, a program.
pub fn tree(agent: &Agent, name: &str) -> String {
    let root = agent.path(name);
    std::fs::create_dir_all(format!("{root}/a/b")).expect("made");
    std::fs::write(format!("{root}/a/one"), "one\n").expect("written");
    let sparse = std::fs::File::create(format!("{root}/a/b/two")).expect("made");
    sparse.write_all_at(b"start", 0).expect("written");
    sparse.write_all_at(b"end", 5_000_000).expect("written");
    sparse.set_len(6_000_000).expect("a length");
    symlink("a/one", format!("{root}/link")).expect("a link");
    std::fs::hard_link(format!("{root}/a/one"), format!("{root}/hard")).expect("a link");
    std::fs::write(format!("{root}/program"), "#!/bin/sh\n").expect("written");
    std::fs::set_permissions(format!("{root}/program"), std::fs::Permissions::from_mode(0o750))
        .expect("a mode");
    std::fs::set_permissions(format!("{root}/a"), std::fs::Permissions::from_mode(0o711)).expect("a mode");
    assert!(
        std::process::Command::new("mkfifo").arg(format!("{root}/pipe")).status().expect("mkfifo").success()
    );
    root
}

/// Whether two trees are the same to `diff`, and in modes, times and links.
pub fn assert_same(a: &str, b: &str, with_hard_links: bool) {
    for path in ["", "/a", "/a/b", "/a/b/two", "/program", "/hard", "/link"] {
        let [a, b] = [a, b].map(|root| std::fs::symlink_metadata(format!("{root}{path}")).expect(path));
        assert_eq!((a.mode(), a.mtime()), (b.mode(), b.mtime()), "{path}");
        assert!(!a.is_file() || a.len() == b.len(), "{path}");
    }
    assert_eq!(std::fs::read_link(format!("{b}/link")).expect("a link"), Path::new("a/one"));
    assert!(
        std::fs::read(format!("{a}/a/b/two")).expect("read")
            == std::fs::read(format!("{b}/a/b/two")).expect("read")
    );
    assert_eq!(std::fs::read_to_string(format!("{b}/hard")).expect("read"), "one\n");
    let inode = |path: &str| std::fs::metadata(format!("{b}/{path}")).expect("there").ino();
    assert_eq!(inode("hard") == inode("a/one"), with_hard_links);
}
