//! What `systemd-analyze` says of the units.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::skipped;

/// The shipped units in a directory, each with a program that is there; the strict drop-in if that is asked for.
fn units(strict: bool) -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("autossm-units-").tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let copy = |from: &str, to: &str| {
        let text = fs::read_to_string(source.join(from)).unwrap();
        let text = text.replace("ExecStart=/usr/bin/autossm ", "ExecStart=/usr/bin/true ");
        fs::write(directory.path().join(to), text).unwrap();
    };
    copy("autossm.service", "autossm.service");
    copy("autossm@.service", "autossm@ada.service");
    copy("autossm-listen@.socket", "autossm-listen@orders-db.socket");
    if strict {
        fs::create_dir(directory.path().join("autossm.service.d")).unwrap();
        copy("strict.conf", "autossm.service.d/10-strict.conf");
    }
    directory
}

/// What it says, in both streams, and whether it is content.
fn analyze(directory: &Path, arguments: &[&str]) -> Option<(String, bool)> {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .current_dir(directory)
        .env("XDG_RUNTIME_DIR", directory)
        .output();
    let Ok(output) = output else {
        skipped("needs systemd-analyze (systemd)");
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    Some((String::from_utf8(said).unwrap(), output.status.success()))
}

#[test]
fn verify_has_nothing_to_say() {
    for (strict, scope, unit) in [
        (false, "--user", "./autossm.service"),
        (true, "--user", "./autossm.service"),
        (false, "--user", "./autossm-listen@orders-db.socket"),
        (false, "--system", "./autossm@ada.service"),
    ] {
        let units = units(strict);
        let Some((said, content)) = analyze(units.path(), &[scope, "verify", "--man=no", unit]) else {
            return;
        };
        assert!(content && said.is_empty(), "{unit}, strict: {strict}: {said}");
    }
}

#[test]
fn the_exposure_is_no_greater_than_it_was() {
    for (strict, scope, unit, tenths) in [
        (false, "--user", "./autossm.service", "56"),
        (true, "--user", "./autossm.service", "17"),
        (false, "--system", "./autossm@ada.service", "11"),
    ] {
        let units = units(strict);
        let threshold = format!("--threshold={tenths}");
        let arguments = [scope, "security", "--offline=yes", "--no-pager", &threshold, unit];
        let Some((said, content)) = analyze(units.path(), &arguments) else {
            return;
        };
        assert!(content, "{unit}, strict: {strict}: {said}");
    }
}

#[test]
fn the_threshold_is_a_threshold() {
    let units = units(false);
    let arguments = [
        "--user",
        "security",
        "--offline=yes",
        "--no-pager",
        "--threshold=55",
        "./autossm.service",
    ];
    if let Some((said, content)) = analyze(units.path(), &arguments) {
        assert!(!content, "{said}");
    }
}
