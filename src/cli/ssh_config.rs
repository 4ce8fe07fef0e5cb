//! `autossm ssh-config`: what makes ssh go through Session Manager, for ~/.ssh/config.

use std::path::Path;

use super::args::SshConfigArgs;
use super::exit::Exit;
use super::output;

/// What most of Amazon's images have.
const USER: &str = "ec2-user";

pub(super) fn ssh_config(args: &SshConfigArgs) -> anyhow::Result<Exit> {
    let called = std::env::args_os().next().unwrap_or_default();
    // Called by its name it is in PATH, and stays right when it is installed elsewhere.
    let program = if Path::new(&called).components().count() > 1 {
        std::env::current_exe()?.to_string_lossy().into_owned()
    } else {
        "autossm".to_owned()
    };
    output::print(&block(&program, args.user.as_deref().unwrap_or(USER)))?;
    Ok(Exit::Done)
}

fn block(program: &str, user: &str) -> String {
    format!(
        "\
# ssh, scp, rsync and git to instances, through AWS Session Manager and over every network drop.
Host i-* mi-*
    ProxyCommand {} proxy %h %p
    # The login of the image: ec2-user, ubuntu, admin, ...
    User {user}
    # ssh's own questions for life must be off: they would end the connection in the middle of a drop, which autossm
    # notices and mends by itself. To keep an idle login from AWS's idle time-out (20 minutes, the account's policy),
    # ask seldom and forgive much instead: ServerAliveInterval 300, ServerAliveCountMax 288 (a day of drops).
    ServerAliveInterval 0
",
        quoted(program)
    )
}

/// For the shell that ssh starts, after ssh has expanded its `%`.
fn quoted(program: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+');
    let escaped = program.replace('%', "%%");
    if program.chars().all(plain) {
        escaped
    } else {
        format!("'{}'", escaped.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_odd_name_is_still_one_word() {
        assert_eq!(quoted("/usr/bin/autossm"), "/usr/bin/autossm");
        assert_eq!(quoted("/home/a b/50%/it's"), r"'/home/a b/50%%/it'\''s'");
    }

    #[test]
    fn the_block_names_program_and_user() {
        let block = block("autossm", "ubuntu");
        assert!(block.contains("\n    ProxyCommand autossm proxy %h %p\n") && block.contains("\n    User ubuntu\n"));
        assert!(block.lines().all(|line| line.len() <= 130));
    }
}
