//! autossm and the simulator against AWS's own programs, on loopback.
//!
//! Nothing of AWS's is in this repository, nor a way to build it. These tests run when variables name programs, and say
//! loudly that they are skipped otherwise:
//!
//! - `AUTOSSM_INTEROP_AGENT`: an agent. The simulator starts it once for each StartSession, with
//!   `--endpoint ws://HOST:PORT --session-id ID --instance-id TARGET --document NAME --parameters JSON`
//!   and, in an account that encrypts, `--kms-key KEY --kms-endpoint http://HOST:PORT`
//!   (the document is empty for a shell; the parameters are those of StartSession, names with lists of values; a
//!   host that the simulator maps is already replaced). It calls CreateDataChannel
//!   (`POST http://HOST:PORT/v1/data-channel/ID`, answered 201 with XML), opens
//!   `ws://HOST:PORT/v1/data-channel/ID?role=publish_subscribe`, sends OpenDataChannel with that token as its first
//!   frame, then acts as the agent's session worker does. When it exits, the session ends, and the last line of its
//!   standard output is what the client is told. When the session ends otherwise, it gets `channel_closed`, and is
//!   killed if it is still there when its websocket has closed. Its standard input closes with the simulator, however
//!   that ends: then it must end too.
//! - `AUTOSSM_INTEROP_PLUGIN`: a `session-manager-plugin`, started with its usual six arguments.
//! - `AUTOSSM_INTEROP_AWS`: the AWS CLI, started as `aws ssm start-session --endpoint-url ...` with a `PATH` on which
//!   that plugin comes first. It needs the plugin too.
//! - `AUTOSSM_INTEROP_AUTOSSM`: an optimized build of autossm; named only to measure, and then alone, so that nothing
//!   else is busy: `cargo test -p autossm --test interop figures`.
//!
//! What they showed, when and with which versions is in ARCHITECTURE.md, section "Interop".
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "test code")]

mod agent;
mod bench;
mod cli;
#[path = "../sim/tests/common/mod.rs"]
mod common;
mod compare;
mod figures;
mod plugin;
mod programs;
#[path = "../bench/relay.rs"]
mod relay;
#[path = "../support/mod.rs"]
mod support;
