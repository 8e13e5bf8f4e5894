use super::{signer::Signer, *};

/// The updates of Debian 12 as Debian signed them in November 2026.
const RELEASE: &str = include_str!("../../../keys/sample-InRelease");

fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

#[test]
fn debians_signature_is_good_until_its_key_expires() {
    let text = verify(RELEASE, &debian(), now()).unwrap();
    assert!(text.starts_with("Origin: Debian\n") && text.ends_with('\n'), "{text}");
    let later = "2035-12-31T00:00:00Z".parse().unwrap();
    assert!(matches!(verify(RELEASE, &debian(), later), Err(Distrust::ExpiredKey(_))));
}

#[test]
fn a_changed_character_is_noticed_wherever_it_is() {
    let keys = debian();
    let start = RELEASE.find("Origin").unwrap();
    for at in (start..RELEASE.find(SIGNATURE).unwrap()).step_by(997) {
        let mut bytes = RELEASE.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let refused = verify(&String::from_utf8(bytes).unwrap(), &keys, now());
        assert!(matches!(refused, Err(Distrust::BadSignature(_))), "{at}: {refused:?}");
    }
}

#[test]
fn only_a_trusted_key_that_has_not_expired_counts() {
    let (signer, other) = (Signer::new(1), Signer::new(2));
    let message = signer.sign("Origin: test\n- dashes -\n");
    assert_eq!(verify(&message, &[other.key(), signer.key()], now()).unwrap(), "Origin: test\n- dashes -\n");
    assert!(matches!(verify(&message, &[other.key()], now()), Err(Distrust::UnknownKeys(keys)) if keys.len() == 1));
    assert!(matches!(verify(&message, &debian(), now()), Err(Distrust::UnknownKeys(_))));
    assert!(matches!(verify(&message, &[signer.expired()], now()), Err(Distrust::ExpiredKey(_))));
}

#[test]
fn what_stands_around_a_signed_text_is_refused() {
    let signer = Signer::new(1);
    let message = signer.sign("Origin: test\n");
    for changed in [
        format!("Origin: other\n{message}"),
        format!("{message}Origin: other\n"),
        message.replace("Hash: SHA256\n", "Hash: SHA256\nOrigin: other\n"),
        message.replace("Origin: test\n", "Origin: test\n-----BEGIN PGP SIGNATURE-----\n"),
        message.replace(END, ""),
        "Origin: test\n".into(),
        String::new(),
    ] {
        assert_eq!(verify(&changed, &[signer.key()], now()), Err(Distrust::NotSigned), "{changed}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_a_mirror_sends_is_trusted_by_chance(
        text in "[ -~\n]{0,80}", at in 0_usize..400, byte in 1_u8..=255, end in 0_usize..400,
    ) {
        let signer = Signer::new(1);
        let message = signer.sign(&text);
        let keys = [signer.key()];
        let good = verify(&message, &keys, now()).unwrap();
        let mut changed = message.clone().into_bytes();
        let at = at % changed.len();
        changed[at] ^= byte;
        if let Ok(changed) = String::from_utf8(changed)
            && let Ok(accepted) = verify(&changed, &keys, now())
        {
            // What is not part of the text, such as a header, may differ.
            assert_eq!(accepted, good, "{changed}");
        }
        let cut = &message[..end % message.len()];
        if let Ok(accepted) = verify(cut, &keys, now()) {
            assert_eq!(accepted, good);
        }
        // No input makes it panic.
        let _ = verify(&format!("{BEGIN}\n\n{SIGNATURE}\n\n{text}\n{END}"), &keys, now());
    }

    #[test]
    fn no_packet_makes_the_reader_panic(data in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = packets(&data);
        let _ = keys::read(&data);
        let _ = Signature::parse(&data);
    }
}
