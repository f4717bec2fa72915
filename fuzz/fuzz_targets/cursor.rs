//! What it does with the bytes: `cursor` in `src/lib.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pasta_fasta_fuzz::cursor(bytes));
