//! Standard input of `ipvsadm -R` and `ipvsadm-restore`: the same comes of it at once and in
//! pieces.

#![no_main]

use fuzz::{NoNames, Pieces, run};
use ipvs_cli::ipvsadm::Words;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|text: &[u8]| -> Corpus {
    let mut words = Words::default();
    for line in text.split(|&byte| byte == b'\n') {
        words.split_line(line);
        if !words.is_empty() && !NoNames::are_enough(&words) {
            return Corpus::Reject;
        }
    }
    for argv in [&["ipvsadm".into(), "-R".into()][..], &["ipvsadm-restore".into()]] {
        let at_once = run(argv, &mut { text });
        let in_pieces = run(argv, &mut Pieces::of(text));
        assert_eq!(at_once, in_pieces);
    }
    Corpus::Keep
});
