#![no_main]

#[path = "../bodies/cursor.rs"]
mod cursor;
#[path = "../bodies/mux.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
