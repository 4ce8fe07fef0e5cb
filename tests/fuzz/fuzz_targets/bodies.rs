#![no_main]

#[path = "../bodies/bodies.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
