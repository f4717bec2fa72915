//! What it does with the bytes: `config` in `src/lib.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pasta_fasta_fuzz::config(bytes));
