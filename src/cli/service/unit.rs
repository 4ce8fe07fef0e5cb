//! What is written: the shipped units, with this program's path in them.

use std::path::Path;

use anyhow::bail;

use super::Scope;

const USER: &str = include_str!("../../../systemd/autossm.service");
const SYSTEM: &str = include_str!("../../../systemd/autossm@.service");
/// The strict sandbox.
pub(super) const STRICT: &str = include_str!("../../../systemd/strict.conf");

/// The shipped program, as the shipped units name it.
const SHIPPED: &str = "ExecStart=/usr/bin/autossm ";

/// The first line of what we have written: nothing else is ever replaced or removed.
pub(super) const MARK: &str = "# Written by `autossm service install`; `autossm service uninstall` removes it.";

/// The unit that starts `program`.
///
/// # Errors
/// The service could not start it from where it is, or its path cannot be written down.
pub(super) fn text(scope: Scope, program: &Path) -> anyhow::Result<String> {
    let Some(path) = program.to_str().filter(|path| !path.chars().any(char::is_control)) else {
        bail!(
            "the path of this program, {}, cannot be written into a unit; put it elsewhere",
            program.display()
        );
    };
    let hidden: &[&str] = match scope {
        // PrivateTmp
        Scope::User => &["/tmp/", "/var/tmp/"],
        // and ProtectHome
        Scope::System => &["/tmp/", "/var/tmp/", "/home/", "/root/", "/run/user/"],
    };
    if let Some(place) = hidden.iter().find(|place| path.starts_with(*place)) {
        bail!(
            "this program is {path}, and the service would not see {place}: it is not allowed to; \
             put the program elsewhere, such as /usr/local/bin, and call it there"
        );
    }
    let shipped = match scope {
        Scope::User => USER,
        Scope::System => SYSTEM,
    };
    Ok(shipped.replacen(SHIPPED, &format!("ExecStart={} ", quoted(path)), 1))
}

/// One word for systemd (systemd.service(5), COMMAND LINES; systemd.unit(5), SPECIFIERS).
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+');
    if path.chars().all(plain) {
        return path.to_owned();
    }
    let mut word = String::from("\"");
    for c in path.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' => word.push_str("%%"),
            _ => word.push(c),
        }
    }
    word.push('"');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_path_differs_from_what_is_shipped() {
        for (scope, shipped) in [(Scope::User, USER), (Scope::System, SYSTEM)] {
            let text = text(scope, Path::new("/usr/local/bin/autossm")).unwrap();
            let differing: Vec<(&str, &str)> = shipped
                .lines()
                .zip(text.lines())
                .filter(|(before, after)| before != after)
                .collect();
            assert_eq!(differing.len(), 1, "{differing:?}");
            assert!(
                differing[0].1.starts_with("ExecStart=/usr/local/bin/autossm run"),
                "{differing:?}"
            );
        }
    }

    #[test]
    fn an_odd_path_is_one_word_for_systemd() {
        assert_eq!(quoted("/opt/a-b/autossm"), "/opt/a-b/autossm");
        assert_eq!(quoted(r#"/opt/a b/50%/"x"\y"#), r#""/opt/a b/50%%/\"x\"\\y""#);
    }

    #[test]
    fn a_program_that_the_sandbox_hides_is_refused() {
        let refused = |scope, path: &str| text(scope, Path::new(path)).unwrap_err().to_string();
        assert!(refused(Scope::User, "/tmp/autossm").contains("/usr/local/bin"));
        assert!(refused(Scope::System, "/home/ada/.cargo/bin/autossm").contains("would not see /home/"));
        assert!(refused(Scope::User, "/opt/a\nb").contains("cannot be written"));
        assert!(text(Scope::User, Path::new("/home/ada/.cargo/bin/autossm")).is_ok());
    }
}
