#![no_main]

// A text and, on the next line, its format.
libfuzzer_sys::fuzz_target!(|input: &str| {
    let (text, pattern) = input.split_once('\n').unwrap_or((input, "%Y-%m-%d"));
    xetl_runtime::source::fuzzing::date(text, pattern);
});
