#![no_main]

#[path = "../bodies/cursor.rs"]
mod cursor;
#[path = "../bodies/session.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
