#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| xetl_runtime::source::fuzzing::lint(text));
