#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| xetl_runtime::source::fuzzing::literal(text));
