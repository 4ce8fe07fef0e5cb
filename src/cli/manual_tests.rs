//! What the man pages say beyond the command line: the configuration's format, out of its schema, and the daemon.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::config;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A page in the making.
struct Page(String);

impl Page {
    fn new(title: &str, section: &str) -> Self {
        Self(format!(
            ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.TH {title} {section} \"\" \"autossm {VERSION}\" autossm\n"
        ))
    }

    fn part() -> Self {
        Self(String::new())
    }

    fn section(&mut self, title: &str) {
        writeln!(self.0, ".SH {title}").unwrap();
    }

    fn table(&mut self, title: &str) {
        writeln!(self.0, ".SS \"{}\"", escaped(title)).unwrap();
    }

    fn text(&mut self, text: &str) {
        writeln!(self.0, ".PP\n{}", escaped(text)).unwrap();
    }

    fn item(&mut self, term: &str, text: &str) {
        writeln!(self.0, ".TP\n\\fB{}\\fR\n{}", escaped(term), escaped(text)).unwrap();
    }

    fn example(&mut self, text: &str) {
        writeln!(self.0, ".PP\n.nf\n.RS 4\n{}\n.RE\n.fi", escaped(text.trim_end())).unwrap();
    }
}

/// Text that roff prints as it is.
fn escaped(text: &str) -> String {
    let plain = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\*(Aq");
    let lines = plain.lines().map(|line| {
        if line.starts_with(['.', '\\']) {
            format!("\\&{line}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// autossm.toml(5).
pub(super) fn file_format() -> String {
    let schema = config::schema();
    let mut page = Page::new("autossm.toml", "5");
    page.section("NAME");
    page.0
        .push_str("autossm.toml \\- the sessions that autossm keeps alive\n");
    page.section("SYNOPSIS");
    page.text("~/.config/autossm/config.toml, ~/.config/autossm/config.d/*.toml");
    page.text("/etc/autossm/config.toml, /etc/autossm/config.d/*.toml");
    page.section("DESCRIPTION");
    page.text(
        "A configuration is written in TOML. The user's directory counts, below $XDG_CONFIG_HOME if that is set; where it \
         has neither config.toml nor config.d, that of the system does. Sessions of all its files count; of a key that \
         several files have in another table, the last counts. A file or directory that another user can change is refused.",
    );
    page.text("`autossm check` says all that is wrong with it in one go; `autossm reload` brings it into force.");
    page.section("TABLES");
    page.table("the whole file");
    keys(&mut page, &schema);
    for (name, title) in [
        ("log", "[log]"),
        ("notify", "[notify]"),
        ("defaults", "[defaults]"),
        ("session", "[session.NAME]"),
        ("forward", "[session.NAME.forward]"),
        ("timings", "[defaults.timings], [session.NAME.timings]"),
        ("backoff", "[defaults.timings.backoff], [session.NAME.timings.backoff]"),
    ] {
        let table = &schema["definitions"][name];
        page.table(title);
        page.text(table["description"].as_str().unwrap());
        keys(&mut page, table);
    }
    // Whatever is new in the schema belongs here too.
    let definitions = schema["definitions"].as_object().unwrap();
    let told = definitions.keys().all(|name| page.0.contains(&escaped(name)));
    assert!(
        told && definitions.len() == TABLES,
        "autossm.toml(5) does not know every table"
    );
    page.section("EXAMPLE");
    page.example(
        "[defaults]\nprofile = \"work\"\nregion = \"eu-west-1\"\n\n[session.orders-db]\ntarget = \"tag:Name=bastion\"\n\
         forward = { listen = \"127.0.0.1:5432\", host = \"orders.internal\", port = 5432 }",
    );
    page.section("SEE ALSO");
    page.text("autossm(1), autossm-check(1), autossm-run(8)");
    page.0
}

/// Tables that the page names.
const TABLES: usize = 7;

fn keys(page: &mut Page, table: &Json) {
    let required: Vec<&str> = table["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    for (key, property) in table["properties"].as_object().unwrap() {
        let about = property["description"]
            .as_str()
            .unwrap_or("A table of its own, see below.");
        let mut text = about.to_owned();
        if let Some(words) = property["enum"].as_array() {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            write!(text, "\nOne of {}.", words.join(", ")).unwrap();
        }
        if let Some(limits) = property["$comment"].as_str() {
            write!(text, "\nFrom {limits}.").unwrap();
        }
        if let (Some(low), Some(high)) = (property["minimum"].as_u64(), property["maximum"].as_u64()) {
            write!(text, "\nFrom {low} to {high}.").unwrap();
        }
        let default = &property["default"];
        if !default.is_null() {
            write!(text, "\nDefault: {default}.").unwrap();
        } else if required.contains(&key.as_str()) {
            text.push_str("\nRequired.");
        }
        page.item(key, &text);
    }
}

/// What autossm(1) says at its end.
pub(super) fn environment_and_files() -> String {
    let mut page = Page::part();
    page.section("FILES");
    page.item(
        "~/.config/autossm/config.toml, ~/.config/autossm/config.d/*.toml",
        "The configuration, autossm.toml(5).",
    );
    page.item("/etc/autossm", "The same, for users who have none.");
    page.item(
        "$XDG_RUNTIME_DIR/autossm/control.sock",
        "Where the daemon answers the other commands.",
    );
    page.item("~/.aws", "The profiles and logins of the AWS CLI.");
    page.section("ENVIRONMENT");
    page.item(
        "XDG_CONFIG_HOME, XDG_RUNTIME_DIR",
        "Where configuration and control socket are.",
    );
    page.item(
        "AWS_PROFILE, AWS_REGION, AWS_CONFIG_FILE, ...",
        "As for the AWS CLI; the daemon has those of its own start.",
    );
    page.item(
        "HTTPS_PROXY, NO_PROXY, AWS_CA_BUNDLE",
        "The way to AWS, and whom to trust there.",
    );
    page.item("NO_COLOR", "No colours in the log.");
    page.section("SEE ALSO");
    page.text("autossm-run(8), autossm.toml(5), ssh_config(5)");
    page.0
}

/// What autossm-run(8) says beyond its options.
pub(super) fn daemon_sections() -> String {
    let mut page = Page::part();
    page.section("SIGNALS");
    page.item(
        "SIGTERM, SIGINT",
        "Deliver what local connections have sent, for 5 s at most, then do with each session what its on_exit says. A \
         second one ends the daemon at once.",
    );
    page.item("SIGUSR2", "The same, and terminate every session.");
    page.item("SIGHUP", "Read the configuration again. A wrong one changes nothing.");
    page.item("SIGUSR1", "Attach every session anew, at once.");
    page.section("SYSTEMD");
    page.text(
        "The user service autossm.service is ready when the control socket and the listeners are there, whether or not AWS \
         can be reached. Its status line tells how many sessions are attached and what the worst one waits for. The \
         watchdog is fed only when the task of every session has answered.",
    );
    page.item(
        "systemctl --user enable --now autossm",
        "Starts it now and with each login.",
    );
    page.item("systemctl --user reload autossm", "Sends SIGHUP.");
    page.item("loginctl enable-linger", "Keeps it running while you are logged out.");
    page.item(
        "systemctl enable --now autossm@NAME",
        "A service of the system's, which runs as the user NAME.",
    );
    page.item(
        "autossm-listen@NAME.socket",
        "systemd listens for the session NAME, and starts the service with its first connection. Any socket whose \
         FileDescriptorName= is a session's name is used in place of what the session says in listen.",
    );
    page.text("`autossm service install` writes the unit for a program that no package has installed.");
    page.section("SEE ALSO");
    page.text("autossm(1), autossm.toml(5), systemd.service(5), systemd.socket(5)");
    page.0
}
