//! The `autossm` program: parse, run, one exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a later dependency that brings another provider must not be able to make rustls choose at random.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        return autossm::cli::fail("another TLS provider is installed already; this is a bug");
    }
    autossm::cli::main(std::env::args_os())
}
