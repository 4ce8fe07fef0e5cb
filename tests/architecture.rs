//! The rules of the source tree that no compiler checks: imports point down, the core stays pure, files stay short.
//!
//! Belongs to package `autossm-proto`, so that it is compiled without the AWS SDK.
#![expect(clippy::unwrap_used, reason = "test code: a tree that cannot be read is a failure")]

use std::fs;
use std::path::{Path, PathBuf};

/// The shell's modules, lowest first: each may use those before it, and `autossm_proto` below them all.
const ORDER: [&str; 13] = [
    "clock",
    "status",
    "config",
    "transport",
    "aws",
    "endpoint",
    "supervisor",
    "control",
    "daemon",
    "logging",
    "cli",
    "lib",
    "main",
];

/// What would let a clock, a runtime, a socket, a file or a random number into the core.
const IMPURE: [&str; 22] = [
    "tokio",
    "futures_util",
    "std::time::Instant",
    "Instant::now",
    "SystemTime",
    "std::net",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "rand::",
    "rustix",
    "libc::",
    "aws_config",
    "aws_credential",
    "aws_runtime",
    "aws_sdk",
    "aws_smithy",
    "aws_types",
    "tracing",
];

const LONGEST_FILE: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every Rust file below `directory`, sorted, without what cargo has built.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The file's lines that are code, numbered from 1; what follows `//` is cut off.
fn code(file: &Path) -> Vec<(usize, String)> {
    fs::read_to_string(file)
        .unwrap()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned())
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .collect()
}

fn show(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

/// The names that follow `crate::` in `line`, also in `crate::{a, b::c}`.
fn crate_modules(line: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = Vec::new();
    for (_, rest) in line
        .match_indices("crate::")
        .map(|(at, found)| (at, &line[at + found.len()..]))
    {
        let Some(list) = rest.strip_prefix('{') else {
            found.push(identifier(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    found.push(identifier(&list[start..at]));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.push(identifier(&list[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// The module of the shell that `file` belongs to.
fn module_of(file: &Path, source: &Path) -> String {
    let relative = file.strip_prefix(source).unwrap();
    let first = relative.components().next().unwrap();
    let name = first.as_os_str().to_string_lossy();
    name.trim_end_matches(".rs").to_owned()
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == module)
}

#[test]
fn imports_point_down() {
    let source = root().join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in rust_files(&source) {
        let module = module_of(&file, &source);
        if module == "proto" {
            continue;
        }
        let Some(own) = rank(&module) else {
            wrong.push(format!("{}: module `{module}` has no place in ORDER", show(&file)));
            continue;
        };
        // `use crate::{` may go over several lines: the file is read as one.
        let text: Vec<String> = code(&file).into_iter().map(|(_, line)| line).collect();
        for used in crate_modules(&text.join(" ")) {
            seen += 1;
            match rank(&used) {
                Some(other) if other <= own => {}
                Some(_) => wrong.push(format!("{}: `{module}` uses `{used}`, which is above it", show(&file))),
                None => wrong.push(format!("{}: `crate::{used}` is no module in ORDER", show(&file))),
            }
        }
    }
    assert!(seen > 0, "no import was found, so this test reads them wrong");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    let files = rust_files(&root().join("src/proto"));
    assert!(!files.is_empty());
    for file in files {
        for (number, line) in code(&file) {
            for name in IMPURE.iter().filter(|name| line.contains(*name)) {
                wrong.push(format!("{}:{number}: `{name}` in the core", show(&file)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for file in rust_files(&root()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{}: {lines} lines, {LONGEST_FILE} are allowed", show(&file)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn this_test_reads_imports_right() {
    for (line, modules) in [
        ("use crate::config::Settings;", vec!["config"]),
        (
            "use crate::{aws::ssm, clock, config::{A, B}, status};",
            vec!["aws", "clock", "config", "status"],
        ),
        ("pub(in crate::cli) fn a(b: crate::status::C) {}", vec!["cli", "status"]),
        ("use super::a; mod crates; pub(crate) fn b() {}", vec![]),
        ("use crate::{ daemon, logging };", vec!["daemon", "logging"]),
    ] {
        assert_eq!(crate_modules(line), modules, "{line}");
    }
}
