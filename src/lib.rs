//! autossm keeps AWS Session Manager sessions alive across every drop of the network.
//!
//! # The layers
//!
//! A pure core decides, a thin shell does. The core is the package [`autossm_proto`]: numbers, acknowledges, streams,
//! phases and deadlines, without clock, socket or runtime. The shell is this package; imports only point down this list:
//!
//! | module | does |
//! |---|---|
//! | [`cli`] | one command: parse, run, one exit code |
//! | [`logging`] | lines on standard error |
//! | [`daemon`] | settings, sessions, control socket, signals, systemd |
//! | [`control`] | HTTP and JSON on a Unix socket: server and client |
//! | [`supervisor`] | one session: carries out what the core commands and tells it how that ended |
//! | [`endpoint`] | local listeners and connections |
//! | [`aws`] | the control plane's calls, credentials, signing, backoff |
//! | [`transport`] | one live websocket |
//! | [`config`] | the file as written, all its problems, the settings it means |
//! | [`status`] | what a session looks like from outside |
//! | [`clock`] | the only reader of the clock |
//!
//! # The life of one byte
//!
//! A local program writes it to a connection the `endpoint` has accepted, but only as fast as the core gives room. The
//! core frames it into a numbered message, and keeps that until the agent acknowledges its number, whether or not the
//! write succeeds. The `supervisor` hands the message to the `transport` of the moment. When the transport dies, the
//! session does not: the core asks for ResumeSession, a new transport attaches, and what was not acknowledged goes out
//! again, in order. On the other side each number is taken once, so the byte arrives once.

pub mod aws;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod endpoint;
pub mod logging;
pub mod status;
pub mod supervisor;
pub mod transport;
