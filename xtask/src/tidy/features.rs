//! wasmtime takes minutes to compile, and cargo compiles it anew for every set of features of
//! anything it depends on. Packages can be selected in many ways; here they are compared.

use crate::recipe;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// How cargo may be called, in words and in arguments of `cargo tree`. The first are the `Makefile`'s ways,
/// the last what people type.
const SELECTIONS: [(&str, &[&str]); 6] = [
    ("build --workspace", &["--workspace", "--edges", "normal,build"]),
    (
        "build --workspace --exclude wasm-sandbox-cli",
        &["--workspace", "--exclude", "wasm-sandbox-cli", "--edges", "normal,build"],
    ),
    ("test --workspace", &["--workspace", "--edges", "normal,build,dev"]),
    ("build", &["--edges", "normal,build"]),
    ("build -p wasm-sandbox-vcpu", &["--package", "wasm-sandbox-vcpu", "--edges", "normal,build"]),
    ("test -p wasm-sandbox-cli", &["--package", "wasm-sandbox-cli", "--edges", "normal,build,dev"]),
];

/// Each package with all its sets of features.
type Features = BTreeMap<String, BTreeSet<String>>;

/// Packages below wasmtime whose features depend on how cargo is called.
pub fn check() -> Result<Vec<String>> {
    let [(first_name, first), others @ ..] = SELECTIONS;
    let below = features(&["--package", "wasmtime", "--edges", "normal,build"])?;
    let first = features(first)?;
    let mut complaints = Vec::new();
    for (name, arguments) in others {
        let other = features(arguments)?;
        for package in below.keys().filter(|package| first.get(*package) != other.get(*package)) {
            complaints.push(format!(
                "{package} has the features {:?} in `cargo {first_name}` and {:?} in `cargo {name}`, so that wasmtime is \
                 compiled twice: name all of them in crates/vcpu/Cargo.toml, where that is done for others",
                first.get(package),
                other.get(package),
            ));
        }
    }
    Ok(complaints)
}

fn features(arguments: &[&str]) -> Result<Features> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(recipe::repository())
        .args(["tree", "--prefix", "none", "--no-dedupe", "--format", "{p}|{f}"])
        .args(arguments)
        .output()
        .context("running cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads lines of `name version|features`.
fn parse(tree: &str) -> Features {
    let mut packages = Features::new();
    for (package, features) in tree.lines().filter_map(|line| line.split_once('|')) {
        packages.entry(package.to_owned()).or_default().insert(features.to_owned());
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_keep_all_their_sets_of_features() {
        let tree = parse("a v1|std\n\n[build-dependencies]\na v1|\nb v2 (proc-macro)|\n");
        assert_eq!(tree["a v1"], ["".to_owned(), "std".to_owned()].into());
        assert_eq!(tree.len(), 2);
    }
}
