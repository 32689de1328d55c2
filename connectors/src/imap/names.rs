//! Folder names on the wire: modified UTF-7 (RFC 3501, section 5.1.3).

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The name as it is sent to the server.
pub(super) fn encode(name: &str) -> String {
    let mut wire = String::new();
    let mut shifted: Vec<u8> = Vec::new();
    let flush = |wire: &mut String, shifted: &mut Vec<u8>| {
        if !shifted.is_empty() {
            wire.push_str(&format!("&{}-", ENGINE.encode(&shifted)));
            shifted.clear();
        }
    };
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut wire, &mut shifted);
            wire.push(c);
            if c == '&' {
                wire.push('-');
            }
        } else {
            shifted.extend(c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut wire, &mut shifted);
    wire
}

/// The name as a person reads it; one that is wrongly encoded stays as it is.
pub(super) fn decode(wire: &str) -> String {
    let mut name = String::new();
    let mut rest = wire;
    while let Some((plain, shifted)) = rest.split_once('&') {
        name.push_str(plain);
        let Some((shifted, after)) = shifted.split_once('-') else { return wire.to_owned() };
        if shifted.is_empty() {
            name.push('&');
        } else {
            let units = ENGINE.decode(shifted).ok().map(|bytes| {
                bytes
                    .chunks_exact(2)
                    .filter_map(|unit| Some(u16::from_be_bytes(unit.try_into().ok()?)))
                    .collect::<Vec<_>>()
            });
            let Some(text) = units.and_then(|units| String::from_utf16(&units).ok()) else { return wire.to_owned() };
            name.push_str(&text);
        }
        rest = after;
    }
    name + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_rfc() {
        assert_eq!(encode("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(encode("Entw&ürfe"), "Entw&-&APw-rfe");
        assert_eq!(decode("&U,BTFw-"), "台北");
        assert_eq!(decode("&broken"), "&broken");
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(name in "\\PC{0,20}") {
            prop_assert_eq!(decode(&encode(&name)), name);
        }

        #[test]
        fn any_name_is_decoded_without_panic(wire in "[&A-Za-z,+-]{0,20}") {
            decode(&wire);
        }
    }
}
