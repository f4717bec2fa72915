//! What it does with the bytes: `last_event_id` in `src/lib.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pasta_fasta_fuzz::last_event_id(bytes));
